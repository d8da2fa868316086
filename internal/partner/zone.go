package partner

import (
	"strings"
	"time"
)

// zones are the names that people of the region use for their time and that the
// time zone database does not have, or has for another one ("PST" in Manila).
var zones = map[string]string{
	"Asia/Singapore": "SGT", "Asia/Kuala_Lumpur": "MYT", "Asia/Kuching": "MYT", "Asia/Manila": "PHT", "Asia/Brunei": "BNT",
	"Asia/Bangkok": "ICT", "Asia/Ho_Chi_Minh": "ICT", "Asia/Saigon": "ICT", "Asia/Phnom_Penh": "ICT", "Asia/Vientiane": "ICT",
	"Asia/Yangon": "MMT", "Asia/Rangoon": "MMT", "Asia/Dili": "TLT",
}

// ZoneName is the short name of the zone of an instant as people know it, for
// example WIB or SGT, or its city where it has none: a zone is named, never only
// an offset.
func ZoneName(t time.Time) string {
	zone := t.Location().String()
	if name, ok := zones[zone]; ok {
		return name
	}
	name, _ := t.Zone()
	if !strings.HasPrefix(name, "+") && !strings.HasPrefix(name, "-") {
		return name
	}
	if !strings.HasPrefix(zone, "Etc/") {
		zone = strings.ReplaceAll(zone[strings.LastIndexByte(zone, '/')+1:], "_", " ")
	}
	return zone
}
