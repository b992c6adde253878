# Coroutines of boost.context.
. "$(dirname "$0")/common.sh"
g++ -O2 -o fibers "$(dirname "$0")/fibers.cc" -lboost_context
agent ./fibers
