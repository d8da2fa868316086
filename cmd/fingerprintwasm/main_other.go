//go:build !js

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "fingerprintwasm runs in a browser: build it with make wasm; on the command line use siaga hash")
	os.Exit(2)
}
