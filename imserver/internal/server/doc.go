// Package server is imserver's HTTP face: it decides before the upgrade whether a client may come in, and says
// no as an ordinary HTTP answer; what is let in becomes a connection of the hub.
package server
