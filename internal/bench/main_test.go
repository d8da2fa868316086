package bench_test

import (
	"os"
	"testing"

	"github.com/siaga-crp/siaga/internal/store/postgres/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
