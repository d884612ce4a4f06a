package pkey

import (
	"fmt"
	"slices"
)

// QoS is the quality of service of a partition, in UFM's own values. UFM gives a
// partition that REST made {2, 2.5, 0}, and forgets it with the last member.
type QoS struct {
	MTULimit     int     `json:"mtu_limit"`     // 2 (2,048 bytes) or 4 (4,096)
	RateLimit    float64 `json:"rate_limit"`    // Gb/s, one of the rates of Rates
	ServiceLevel int     `json:"service_level"` // 0 to 15
}

// Rates are the rate limits that UFM takes, in Gb/s (UFM REST API, "PKey GUIDs").
func Rates() []float64 {
	return []float64{2.5, 5, 10, 14, 20, 25, 30, 40, 56, 60, 80, 100, 112, 120, 168, 200, 300}
}

// Validate says what is wrong with q before UFM is asked: a rate that UFM does not know
// was reported to have harmed one.
func (q QoS) Validate() error {
	switch {
	case q.MTULimit != 2 && q.MTULimit != 4:
		return fmt.Errorf("mtu limit %d: use 2 (2K) or 4 (4K)", q.MTULimit)
	case !slices.Contains(Rates(), q.RateLimit):
		return fmt.Errorf("rate limit %v Gb/s: use one of %v", q.RateLimit, Rates())
	case q.ServiceLevel < 0 || q.ServiceLevel > 15:
		return fmt.Errorf("service level %d: use 0 to 15", q.ServiceLevel)
	}
	return nil
}
