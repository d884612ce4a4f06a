package grant

// Tally is how a partition stands, for those who look after its Partition.
type Tally struct {
	Members int   // GUIDs of live pods that UFM holds in it as they should be
	Pending int   // GUIDs of live pods that it does not
	Leaving int   // GUIDs of gone pods that UFM was not seen without
	Unknown bool  // UFM does not answer, or not for this partition
	QoS     error // why the partition has not the quality of service that it should
}
