#!/bin/sh
# JIT code, named through node's perf map; worker threads; a child process.
. "$(dirname "$0")/common.sh"
cat >hot.js <<'JS'
const { Worker, isMainThread } = require('worker_threads');
function hotLoop(n) {
  let s = 0;
  for (let i = 0; i < n; i++) s = (s + Math.imul(i, i) % 7) | 0;
  return s;
}
let s = 0;
for (let k = 0; k < 60; k++) s = (s + hotLoop(5e6)) | 0;
if (isMainThread) {
  const fs = require('fs');
  fs.writeFileSync('warm', '');
  while (!fs.existsSync('enough')) hotLoop(1e6);
  console.log(s, require('child_process').execSync('echo from a child').toString().trim());
  new Worker(__filename).on('exit', (code) => { console.log('worker', code); process.exitCode = 5; });
}
JS
start node --perf-basic-prof hot.js &
program=$!
dump_when_warm "$program"
status=0
wait "$program" || status=$?
rm -f "/tmp/perf-$program.map"
echo "node ended with $status"
