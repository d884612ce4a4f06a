// Package multus runs the controller with --multus-configs on a real API server: networks
// come, change and go with their SpiderMultusConfigs, and nobody else's are touched.
package multus
