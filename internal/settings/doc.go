// Package settings reads what a program is told at its start: flags,
// environment variables and an optional YAML file, all under one name.
//
// A setting called redis-url is the flag --redis-url, the variable
// IM_REDIS_URL and the YAML key redis-url. A flag wins over the environment,
// the environment over the file, the file over the default:
//
//	s := settings.New("imserver")
//	common.Register(s, checkKeys)          // what both programs take
//	s.Listen(&cfg.Listen, "listen", ":6001", "public listener")
//	err := s.Parse(os.Args[1:], os.Environ())
//	switch {
//	case errors.Is(err, settings.ErrHelp): s.Usage(os.Stdout)           // exit 0
//	case err != nil: fmt.Fprintln(os.Stderr, err)                       // exit 2
//	}
//
// Parse reports every problem at once, one a line. Only the value that wins is
// checked. An environment variable that is set but empty counts as not set, so
// that a compose file may pass variables through.
//
// The programs may share one environment and one file: names.go lists what
// belongs to whom, and a program skips what is another's. Any other IM_*
// variable is an error, since a misspelt setting that is ignored is worse than
// a program that does not start.
package settings
