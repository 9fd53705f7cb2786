// Package procs starts the processes of a benchmark on the loopback interface, each on a port of its own, and sees
// to it that they end: when the benchmark stops them, when its context ends (Ctrl-C), and when imbench itself dies.
//
//	StartRedis   redis-server without persistence
//	StartServer  imserver or webapi as built; ports and readiness are read from its log
//	StartWorker  imbench again in one of its roles, driven by one JSON line each way
package procs
