//go:build !amd64 || purego

package local

func smoothLevel(out []int16, row []byte)      { smoothLevelGo(out, row) }
func smoothUpright(out, a, b, c, d, e []int16) { smoothUprightGo(out, a, b, c, d, e) }
func hessian(out []int32, a, c, e []int16)     { hessianGo(out, a, c, e) }
