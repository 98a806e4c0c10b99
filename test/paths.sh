# shellcheck shell=sh
# Real traffic through many paths of the stack: each must show in its stages, and in none once it is switched off. For a
# virtual machine, in busybox's sh, and for this machine as far as its kernel has the paths. Runs as root; $1 = the name
# of the test, $2... = some of the functions below, without their path_; all without. ALL=1: also what depends on time.
#
# Three namespaces: netto-a sends to netto-b, through the router netto-r (a0 - ra, rb - b0) or over a link that the two
# have besides (a1 - b1). Each path is taken away before the next one, whose measurement shows that it is gone.
# shellcheck disable=SC2034,SC2086,SC2154 # for lib.sh, and from it; words
part=$1
. "$(dirname "$0")/lib.sh"
export NETTO_WITHOUT="${NETTO_WITHOUT-} limit" # however slow the machine is: samples are what is waited for
[ "$part" != paths-host ] || UNSEEN=1
DIRECT=$ADDRESS DIRECT6=2001:db8:1::2

# Where a measurement does not name one of these, it must not be there.
STAGES="bridge forward_v4 forward_v6 nft nf_forward_v4 conntrack nat iptables tc xdp_generic vlan tunnel_rx tunnel_tx \
wireguard flowtable udp_rx local_v4 local_v6"

# Something that this machine's kernel may lack: without it the path is skipped. Those of the virtual machines have it all.
try() { # COMMAND...
	"$@" >"$T/try" 2>&1 && return
	without=fail
	[ "$part" != paths-host ] || without=skip
	$without "$what" "$*: $(head -n 1 "$T/try")"
	return 1
}

forwarded() { # 4|6
	case $1 in
	4) router cat /proc/net/snmp | awk '/^Ip: [0-9]/ { print $7 }' ;;
	6) router cat /proc/net/snmp6 | awk '/^Ip6OutForwDatagrams/ { print $2 }' ;;
	esac
}

# --- measuring ------------------------------------------------------------------------------

reached() { # ADDRESS
	"$LOAD" udppath $A $B "$1" 0.01 0 1 >"$T/load" 2>&1 &&
		[ "$(load_value sends)" = "$(load_value recvs)" ] && [ "$(load_value recvs)" -gt 0 ]
}

# through ADDRESS STAGES [OTHERS]: measures traffic from a to an address of b. STAGES are those that must show; OTHERS may. All
# others of the list above must be in no sample; but local_v6 may be in a few, since IPv6 looks for neighbours and groups by
# itself, and conntrack, whose worker collects garbage. LOSS: packets need not come through; where they do, no measurement
# begins before.
through() {
	stages=$2 others=${3-} sends=0 recvs=0
	[ -n "${LOSS-}" ] || wait_for reached "$1" || fail "$what: reaches $1"
	measure repeated flood "$1" || return
	sends=$(load_value sends) recvs=$(load_value recvs)
	[ -n "${LOSS-}" ] || check "$what: packets come" "$recvs > 0"
	shared_out "$what"
	add_up_stages
	has_stages $stages
	wrong=$(awk -v may=" $stages $others " -v none=" $STAGES " '
		{ stage = " " $1 " " }
		index(none, stage) && !index(may, stage) && $2 > (index(" local_v6 conntrack ", stage) ? 10 : 0)' "$T/stages")
	unknown=$((${unknown:-0} + $(run_row samples_unknown 8))) all_samples=$((${all_samples:-0} + $(run_row samples 8)))
	# This machine may have other traffic.
	[ "$part" = paths-host ] || check "$what: none of the other paths' stages" "$(echo "$wrong" | wc -w) == 0" "$wrong"
}

# --- With ALL=1: sample mode, which sees no hooks, and times ---

by_samples() { # ADDRESS
	netto='' session='' MODE=sample measure "$LOAD" udppath $A $B "$1" 1.5 0 1 64 # the session's goes on besides
}

# In sample mode no hook tells these events apart. EVENT must show, OTHER may, the rest must not.
sampled() { # ADDRESS [EVENT [OTHER]]
	[ -n "${ALL-}" ] || return 0
	by_samples "$1"
	for event in napi_thread busy_poll net_worker io_worker; do
		if [ "$event" = "${2-}" ]; then
			check "$what, sample mode: $event is at least 3 % of net" "$(ns all $event) > 0.03 * $(ns all net)"
		elif [ "$event" != "${3-}" ]; then
			check "$what, sample mode: no $event" "$(ns all $event) == 0" "$(grep -e event,all -e "$event" "$T/csv")"
		fi
	done
}

# --- paths ----------------------------------------------------------------------------------

path_udp4() {
	through $DIRECT "udp_rx local_v4"
	sampled $DIRECT
}

# What the thread takes by samples, as a part of what is traced: two loads. 0.97 to 1.15 were seen, and 0.05 to 0.6 with CPUs
# that are sampled in step. The scheduler's own figure is no measure: what the thread takes from where it wakes the receiver
# on counts for that.
thread_by_samples() {
	by_samples $DIRECT
	sampled_ns=$(ns all napi_thread)
	measure "$LOAD" udppath $A $B $DIRECT 1.5 0 1 64
	ratio "$sampled_ns" "$(ns all napi_thread)"
}

# veth polls where there is XDP, and then in a thread if it is told so (from 5.12 on).
path_threaded() {
	try xdp_on || return
	if threaded 1; then
		through $DIRECT "udp_rx local_v4"
		check "threaded: the thread has them" "$(ns all napi_thread) > 0 && $(field stage all napi_thread/udp_rx 8) > 0" \
			"$(grep -e event,all -e napi_thread "$T/csv")"
		sampled $DIRECT napi_thread
		[ -z "${ALL-}" ] || check_median "threaded: the thread's samples are what it takes as it is traced" 0.75 1.3 thread_by_samples
		threaded 0
	else
		skip threaded "no threaded NAPI in this kernel: $(cat "$T/try")"
	fi
	xdp_off
}

path_udp6() { through $DIRECT6 "udp_rx local_v6"; }

# Frames to another host's address: IPv4 throws them away.
path_drop() {
	ip -n $A neigh replace $DIRECT dev a1 lladdr 02:00:00:00:00:01 nud permanent
	LOSS=yes through $DIRECT ""
	check "drop: nothing came through" "$recvs == 0"
	ip -n $A neigh del $DIRECT dev a1
}

route() { # 4|6 ADDRESS
	COUNTER="forwarded $1" through $2 "forward_v$1 udp_rx local_v$1"
	check "route$1: the router forwarded them" "$(counted 1) >= $recvs"
}

path_route4() { route 4 $ROUTED; }
path_route6() { route 6 $ROUTED6; }

# Short packets pass 1,000 rules, long ones 2,000. Both are dropped at the end: to wake a receiver would add noise.
path_nft() {
	SHORT=60
	rules forward thousand "udp length $((8 + SHORT)) counter drop" thousand >"$T/rules"
	try router nft -f "$T/rules" || return
	LOSS=yes COUNTER="nft_counter router" through $ROUTED "nft nf_forward_v4 forward_v4"
	check "nft: the packets passed the rules" "$(counted 1) <= $sends && $(counted 1) > 0"
	[ -z "${ALL-}" ] || check_median "nft: what twice the rules take more, in the stage, as a part of the softirq's rise" 0.85 1.15 twice_the_rules
	router nft flush ruleset
}

twice_the_rules() {
	: >"$T/twice"
	for size in $SHORT 64; do
		COUNTER="nft_counter router" measure "$LOAD" udppath $A $B $ROUTED 2 0 1 $size
		echo "$(counted 1) $(ns all rx_softirq) $(field stage all rx_softirq/nft 6)" >>"$T/twice"
	done
	awk '{ rx = $2 / $1 - rx; nft = $3 / $1 - nft } END { print nft / rx }' "$T/twice"
}

path_nat() {
	try router nft -f - <<-END || return
		table ip netto {
			chain forward { type filter hook forward priority 0; ct status snat counter; }
			chain postrouting { type nat hook postrouting priority 100; oifname "rb" masquerade; }
		}
	END
	through $ROUTED "conntrack nat" "nft forward_v4 nf_forward_v4 udp_rx local_v4"
	# The first packet is not known to be translated yet.
	check "nat: the packets were translated" "$(nft_counter router) >= $recvs - 1"
	router nft flush ruleset
}

# The flow's first packets take the long way.
path_flowtable() {
	try router nft -f - <<-END || return
		table ip netto {
			flowtable fast { hook ingress priority 0; devices = { ra, rb }; }
			chain forward { type filter hook forward priority 0; ip protocol udp flow add @fast; counter; }
		}
	END
	COUNTER="received b0 $B" through $ROUTED "flowtable" "forward_v4 nf_forward_v4 nft conntrack udp_rx local_v4"
	check "flowtable: the packets went through it" "$(counted 1) >= $recvs && $(nft_counter router) < 0.5 * $recvs"
	router nft flush ruleset
}

# Matches that nft has none of its own for: x_tables' modules. All of a rule's match but the last.
path_iptables() {
	{
		echo "*filter"
		seq 50 | sed 's/.*/-A FORWARD -p udp -m length --length 20:1500 -m comment --comment x -m u32 --u32 0\&0=0 -m multiport --dports 1,2,3 -j DROP/'
		echo "-A FORWARD -p udp -m length --length 20:1500 -j ACCEPT"
		echo "COMMIT"
	} >"$T/rules"
	try router iptables-nft-restore "$T/rules" || return
	through $ROUTED "iptables nft nf_forward_v4" "forward_v4 udp_rx local_v4"
	counted=$(router iptables-nft -nvxL FORWARD | awk '$3 == "ACCEPT" { print $1 }')
	check "iptables: all packets passed the rules" "$counted >= $recvs"
	router nft flush ruleset
}

path_tc() {
	{
		echo "qdisc add dev ra clsact"
		seq 100 | sed 's/.*/filter add dev ra ingress protocol ip prio 1 u32 match udp dst 100 0xffff flowid 1:1/'
	} >"$T/rules"
	try "$TC" -n $R -batch "$T/rules" || return
	for end in "action pass" "flowid 1:1"; do # not every kernel has the action
		"$TC" -n $R filter add dev ra ingress protocol ip prio 2 u32 match u32 0 0 $end 2>"$T/try" && break
	done
	through $ROUTED "tc" "forward_v4 udp_rx local_v4"
	counted=$("$TC" -n $R -s qdisc show dev ra | sed -n 's/.*Sent [0-9]* bytes \([0-9]*\) pkt.*/\1/p' | tail -n 1)
	check "tc: all packets came to the filters" "$counted >= $recvs"
	"$TC" -n $R qdisc del dev ra clsact
}

path_xdp() {
	try ip -n $R link set dev ra xdpgeneric obj "$XDP" sec xdp || return
	"$LOAD" udppath $A $B $ROUTED 0.1 0 1 1 >"$T/load" 2>&1
	check "xdp: the program runs: it drops what has one byte" "$(load_value sends) > 0 && $(load_value recvs) == 0"
	through $ROUTED "xdp_generic" "forward_v4 udp_rx local_v4"
	ip -n $R link set dev ra xdpgeneric off
}

path_bridge() {
	try ip -n $R link add br0 type bridge || return
	ip -n $R link set ra master br0
	ip -n $R link set rb master br0
	ip -n $R link set br0 up
	ip -n $A addr add 198.18.0.1/24 dev a0
	ip -n $B addr add 198.18.0.2/24 dev b0
	COUNTER="received b0 $B" through 198.18.0.2 "bridge udp_rx local_v4"
	check "bridge: the packets went over it" "$(counted 1) >= $recvs"
	ip -n $R link del br0
}

path_vlan() {
	try both_ends link add link @1 name @2 type vlan id 5 || return
	ends_up
	through $OVER "vlan udp_rx local_v4"
	ends_down
}

# The sender's part is in send, where that is measured.
path_vxlan() {
	try ip -n $A link add a2 type vxlan id 6 remote $DIRECT local 192.0.2.1 dstport 4789 dev a1 || return
	ip -n $B link add b2 type vxlan id 6 remote 192.0.2.1 local $DIRECT dstport 4789 dev b1
	ends_up
	through $OVER "tunnel_rx tunnel_tx udp_rx local_v4"
	ends_down
}

path_wireguard() {
	try wireguard_up || return
	LOSS=yes through $OVER "wireguard udp_rx local_v4" tunnel_tx # of its workers
	sampled $OVER net_worker napi_thread # its NAPI is threaded in 7.3
	ends_down
}

ends_down() {
	check "$what: the packets went over its devices" "$(received b2 $B) >= $recvs"
	ends_away
}

trap net_down EXIT
names="vlan vxlan wireguard threaded udp4 udp6 drop bridge xdp tc iptables nat flowtable nft route4 route6"
shift
# A virtual machine has them as modules, whose functions must be there when netto reads kallsyms.
for module in $(find /lib/modules -name '*.ko' 2>/dev/null | sed 's/.*\///; s/[.]ko$//' | grep -E '^(nf|nft|xt|cls|act|sch|bridge|8021q|vxlan|wireguard)'); do
	[ "$part" = paths-host ] || modprobe "$module"
done
net_up
router_up
ip -n $A addr add 2001:db8:1::1/64 dev a1 nodad
ip -n $B addr add $DIRECT6/64 dev b1 nodad
REPORT=400000 INTERVAL=0.4
begin_session -F 997 -s 0
[ $# -gt 0 ] || set -- $names
for what; do
	path_"$what"
done
end_session
# The share was 0.3 % on all kernels: of 10,000 samples 200 are seen with a probability below 1e-60.
[ "$part" = paths-host ] || check "less than 2 % of all samples are unknown" "$unknown < 0.02 * $all_samples" "$unknown of $all_samples"
