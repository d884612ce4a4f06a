// Package deploy tests what the chart gives on a real API server: that it takes every object,
// and that the controller can live with exactly the rights it is given there.
package deploy
