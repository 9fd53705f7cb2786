package scenario

import (
	"fmt"

	"github.com/imtier/imtier/bench/internal/report"
)

func inGB(bytes int64) float64 { return float64(bytes) / 1e9 }

// reportMemory tells what all connections hold, and who holds it.
func (o *Million) reportMemory(c *cluster, held map[string]int64, res *report.Result) {
	n, now := int64(c.size.Connections()), c.watch.now()
	each := func(bytes int64) string { return fmt.Sprintf("%d bytes per connection", bytes/n) }
	servers := held[nodeName] + held[apiName] + held[redisName]
	part := share(c.size)
	res.Check("all memory in use", inGB(now.unavailable), "GB", report.AtMost(part*o.MaxMemory), each(now.unavailable)+"; MemAvailable before and after")
	res.Check("of it servers", inGB(servers), "GB", report.AtMost(part*o.MaxServers), each(servers))
	for _, name := range []string{nodeName, redisName, apiName, clientName} {
		res.Add("of it "+name, inGB(held[name]), "GB", each(held[name]))
	}
	res.Add("kernel's objects, both ends of each connection", inGB(now.slab), "GB", each(now.slab)+"; MemAvailable takes a part of them for free")
	res.Add("all memory in use, with all of the kernel's objects", inGB(now.used), "GB", each(now.used))
}
