package doctor

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/ufm"
)

// ReadSM takes up what an answer of UFM says: to app/smconf, or to resources/pkeys. Its
// errors quote nothing: the first has the keys of the fabric in it.
func (s *SM) ReadSM(text []byte) error {
	var object map[string]json.RawMessage
	if json.Unmarshal(text, &object) != nil || len(object) == 0 {
		return errors.New("it is no JSON object: give UFM's answer to app/smconf, or to resources/pkeys?guids_data=true")
	}
	if _, ok := object["m_key"]; ok {
		conf, err := ufm.ReadSMConf(text)
		s.Weak = append(s.Weak, conf.Weak...)
		return err
	}
	for key, raw := range object {
		if p, err := pkey.ParseUFM(key); err != nil || p != pkey.Default {
			continue
		}
		var part struct {
			Membership string `json:"membership"`
		}
		if json.Unmarshal(raw, &part) == nil {
			s.Default = strings.ToLower(part.Membership)
		}
		return nil
	}
	return errors.New("it has neither m_key nor the partition 0x7fff: give UFM's answer to app/smconf, or to resources/pkeys?guids_data=true")
}
