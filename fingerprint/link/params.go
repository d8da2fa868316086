package link

import "strings"

// trackingNames are the parameters that say how a reader came to an address and
// never what is there, whatever the site. A name that some site uses for content
// (ref, source, id, s, t, si) is not here; services.go lists such names for the
// services where they are known to mean nothing.
//
// The names are those of the general section of the AdGuard URL Tracking filter
// (AdguardTeam/AdguardFilters, TrackParamFilter/sections/general_url.txt), which
// gives the origin of each, without its patterns and without names of three or
// four letters, and the share and session marks of the last two lines.
var trackingNames = set(`
	_ga _gac _gl gclid gclsrc gbraid wbraid dclid gad_source gad_campaignid srsltid usqp
	fbclid fb_action_ids fb_action_types fb_comment_id fb_ref fb_source action_object_map action_ref_map action_type_map
	msclkid twclid ttclid yclid ysclid ymclid li_fat_id epik
	mc_cid mc_eid mkt_tok vero_conv vero_id ml_subscriber ml_subscriber_hash _kx
	__hsfp __hssc __hstc _hsenc _hsmi hsctatracking
	hsa_acc hsa_ad hsa_cam hsa_grp hsa_kw hsa_la hsa_mt hsa_net hsa_ol hsa_src hsa_tgt hsa_ver
	itm_source itm_medium itm_campaign itm_content itm_term
	mtm_campaign mtm_cid mtm_content mtm_group mtm_keyword mtm_medium mtm_placement mtm_source
	pk_campaign pk_medium pk_source pk_vid
	adjust_creative adjust_tracker adjust_tracker_limit adjust_adgroup adjust_campaign adjust_referrer gps_adid
	bsft_aaid bsft_clkid bsft_eid bsft_ek bsft_mid bsft_uid
	ir_adid ir_campaignid ir_partnerid irclickid irgwc
	cm_cr cm_me cmpid cx_click cx_recsorder cx_recswidget wt_mc wt_zmc xtor s_cid s_kwcid
	_branch_match_id _branch_referrer _openstat _clde _cldee _sgm_action _sgm_campaign _sgm_source
	__io_lv _io_session_id mindbox-click-id mindbox-message-key admitad_uid awc sscid tduid erid
	oly_anon_id oly_enc_id rb_clickid wickedid unicorn_click_id external_click_id rtkcid vc_lpp ebisadid
	nx_source oprtrack asgtbndr guccounter guce_referrer guce_referrer_sig user_email_address
	igsh igshid mibextid
	jsessionid phpsessid
`)

// tracking reports whether a parameter only says how a reader came here.
func tracking(name string) bool {
	name = strings.ToLower(name)
	return strings.HasPrefix(name, "utm_") || strings.HasPrefix(name, "cm_mmc") || trackingNames[name]
}

// set makes a set of the words of s.
func set(s string) map[string]bool {
	m := make(map[string]bool)
	for w := range strings.FieldsSeq(s) {
		m[w] = true
	}
	return m
}
