package proc

import (
	"fmt"
	"os/exec"
	"path/filepath"
)

// Binaries are the built programs.
type Binaries struct {
	IMServer, WebAPI string
}

// Build compiles the programs into dir, with more flags for go build. With -race they are slower, and a race ends up in the
// log, where the rig looks for it.
func Build(dir string, flags ...string) (Binaries, error) {
	const module = "github.com/imtier/imtier"
	args := append([]string{"build", "-o", dir + string(filepath.Separator)}, flags...)
	args = append(args, module+"/imserver/cmd/imserver", module+"/webapi/cmd/webapi")
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return Binaries{}, fmt.Errorf("build the programs: %w\n%s", err, out)
	}
	return Binaries{filepath.Join(dir, "imserver"), filepath.Join(dir, "webapi")}, nil
}
