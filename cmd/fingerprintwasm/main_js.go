//go:build js && wasm

package main

import "syscall/js"

func main() {
	js.Global().Set("siagaFingerprint", js.FuncOf(func(_ js.Value, args []js.Value) any {
		b := make([]byte, args[0].Get("byteLength").Int())
		js.CopyBytesToGo(b, args[0])
		return compute(b)
	}))
	select {}
}
