#!/bin/sh
# A Go program whose C side burns; Go replaces signal handlers after every constructor has run.
. "$(dirname "$0")/common.sh"
mkdir -p src
cat >src/go.mod <<'GO'
module hot

go 1.19
GO
cat >src/hot.go <<'GO'
package main

/*
#include <stdint.h>
static __attribute__((noinline)) uint64_t c_burn(uint64_t n) {
    volatile uint64_t s = 1;
    for (uint64_t i = 0; i < n; i++)
        s = s * 6364136223846793005u + i;
    return s;
}
*/
import "C"

import (
	"fmt"
	"os"
	"sync"
)

//go:noinline
func goBurn(n uint64) uint64 {
	var s uint64 = 1
	for i := uint64(0); i < n; i++ {
		s = s*6364136223846793005 + i
	}
	return s
}

func main() {
	var wg sync.WaitGroup
	sums := make([]uint64, 4)
	for i := range sums {
		wg.Add(1)
		go func(i int) {
			defer wg.Done()
			for k := 0; k < 8; k++ {
				sums[i] += uint64(C.c_burn(20000000)) + goBurn(60000000)
			}
		}(i)
	}
	wg.Wait()
	os.WriteFile("warm", nil, 0600)
	for _, err := os.Stat("enough"); err != nil; _, err = os.Stat("enough") {
		goBurn(1000000)
	}
	fmt.Println(sums)
}
GO
(cd src && CGO_ENABLED=1 go build -o ../hot .)
start ./hot &
program=$!
dump_when_warm "$program"
wait "$program"
echo "go ended with $?"
