package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/siaga-crp/siaga/internal/demo"
)

func demoCommand() *cobra.Command {
	var o demo.Options
	var level string
	c := &cobra.Command{
		Use:   "demo",
		Short: "Watch copies being blocked: a node, edges and a story on this machine",
		Long: `Starts a node and edges with listeners of their own on this machine, makes
fictional partners, and plays the opening of a story with a real photograph: a
notice, a quorum, fingerprints on every edge, altered copies and benign pictures,
a mistake that is withdrawn. It goes on until Ctrl-C; the links that it prints
sign in as the people of the story. With --once it ends by itself with figures.`,
		Example: `  siaga demo
  siaga demo --once --edges 20
  siaga demo --image my-photo.jpg`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Edges < 1 || o.Edges > demo.MaxEdges {
				return useError{fmt.Errorf("--edges %d is not a number from 1 to %d", o.Edges, demo.MaxEdges)}
			}
			log, err := logger(cmd, level)
			if err != nil {
				return err
			}
			o.Log, o.Out = log, cmd.OutOrStdout()
			return demo.Run(cmd.Context(), o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.Data, "data", "", "folder for the node and its edges (default: a temporary one)")
	f.StringVar(&o.Listen, "listen", "127.0.0.1:7424", "address of the node, on this machine")
	f.BoolVar(&o.Once, "once", false, "play the story once, print figures, and end")
	f.IntVar(&o.Edges, "edges", 12, "number of edges")
	f.StringVar(&o.Image, "image", "", "a picture of your own instead of the photograph of a bridge")
	f.StringVar(&level, "log", "error", "least level of the log on stderr: debug, info, warn or error")
	return c
}
