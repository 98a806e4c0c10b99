# shellcheck shell=sh
# Network code that runs where no event's hooks are: the same packets by two ways, once as they go without the thing that
# the function is named after, and once with it. The time must stay in net, and show in the thing's stage. For a virtual
# machine, in busybox's sh; $1 = the name of the test, $2... = some of the functions below, without their hidden_; all
# without. MODE: as -m has it. ALL=1: also what compares times.
#
# Two namespaces, as lib.sh has them, new for each test. Most packets end in 1,000 rules of netto-b, which take most of the
# time: nft's time for a packet is that of the rules, whichever way it came.
# shellcheck disable=SC2034,SC2086,SC2154 # for lib.sh, and from it; words
part=$1
. "$(dirname "$0")/lib.sh"
export NETTO_WITHOUT="${NETTO_WITHOUT-} limit" # however slow the machine is: samples are what is waited for

# --- measuring ------------------------------------------------------------------------------

# The CPU time of the load, all of its processes.
used() { tr ' ' '\n' <"$T/load" | awk -F= '$1 ~ /cpu_ns$/ { s += $2 } END { printf "%.0f", s }'; }

# off COMMAND... and on COMMAND...: measure it; what it took is then in off_net, on_net and so on.
off() { measured off "$@"; }
on() { measured on "$@"; }

measured() { # off|on COMMAND...
	which=$1 before=$(nft_counter b)
	shift
	measure repeated "$@" || return
	shared_out "$what"
	add_up_stages
	cp "$T/csv" "$T/$which.csv"
	eval "${which}_net=$(ns all net) ${which}_used=$(used) ${which}_send=$(ns all send) ${which}_recv=$(ns all recv)"
	eval "${which}_nft=$(stage nft 3) ${which}_passed=$(($(nft_counter b) - before)) ${which}_samples=$(samples_of_net <"$T/csv")"
	check "$what, $which: less than 2 % unknown" "$(run_row samples_unknown 8) < 0.02 * $(run_row samples 8)" \
		"$(run_row samples_unknown 8) of $(run_row samples 8); $(grep ',stack,.*unknown' "$T/csv")"
}

# What one packet took, on as a part of off.
per_packet() { # net|nft|send
	eval "this=\$on_$1 that=\$off_$1"
	ratio "$this * $off_passed" "($that * $on_passed)"
}

self() { # STAGE FILE: its own samples, without what it calls
	awk -F, -v stage="$1" '$3 == "stage" && $4 == "all" && $5 ~ "/" stage "$" { n += $8 } END { print n + 0 }' "$2"
}

# A tenth more than without, where netto's own programs are tracing too: what is wrong is a fifth at least.
has_little() { # STAGE
	check "$what: $1 itself has little: $(self $1 "$T/on.csv") of $on_samples samples, $(self $1 "$T/off.csv") of $off_samples without" \
		"$(ratio "$(self $1 "$T/on.csv")" $on_samples) < $(ratio "$(self $1 "$T/off.csv")" $off_samples) + 0.1" "$(cat "$T/stages")"
}

# With ALL=1: what compares times, which a busy machine disturbs.
check_time() { [ -z "${ALL-}" ] || check "$@"; } # WHAT EXPRESSION SEEN

# The load's time is the network's, about as much as without. What is hidden is a half at least.
keeps_share() {
	check_time "$what: net is $(ratio $on_net $on_used) of the load's time, and $(ratio $off_net $off_used) without" \
		"$on_net * $off_used > 0.75 * $off_net * $on_used"
}

# Packets that end in the rules: these take as long by either way, and there is no less in net. The bounds are wide, since time
# passes while the machine runs other guests; what is hidden is more than five sixths.
keeps_rules() {
	check_time "$what: the rules took $(per_packet nft) of a packet's without" "$(per_packet nft) > 0.25 && $(per_packet nft) < 4" \
		"$on_nft ns, $on_passed packets; without $off_nft ns, $off_passed"
	check_time "$what: net has $(per_packet net) of a packet's without" "$(per_packet net) > 0.25"
}

# --- what the packets meet ------------------------------------------------------------------

to_rules() { # [RULE [HOOK]]: what b's packets meet from now on
	b nft flush ruleset
	rules "${2:-prerouting}" "meta l4proto != udp accept" ${1:+"$1"} thousand | b nft -f -
}

off_rules() { # [HOOK]
	to_rules "" "$1"
	off flood
}

# Packets come through, and so all that has to be looked for once is known.
reaches() { # ADDRESS
	for _ in $(seq 60); do
		a ping -q -c 1 -W 1 "$1" >/dev/null 2>&1 && return
	done
	fail "$what" "nothing comes to $1"
	return 1
}

# The rules wait at the end of the command's packets, too.
by_rules() { # STAGES COMMAND...
	stages=$1
	shift
	off_rules
	on "$@" && keeps_rules && has_stages $stages
}

# a2 and b2 are the ends of a way beside or over the veth.
over_ends() { # STAGES
	ends_up
	reaches $OVER && by_rules "$1" flood $OVER
}

# Something that this kernel may lack: the whole set of Debian's modules has it.
needs() { # MODULE...
	for module; do
		modprobe "$module" 2>/dev/null && continue
		skip "$what" "this kernel has no $module"
		return 1
	done
}

# --- packets by another way -----------------------------------------------------------------

# As SQM does it. The sender's CPU runs the tasklet, at the end of a send.
hidden_ifb() {
	needs ifb act_mirred || return
	off_rules
	ip -n $B link add b2 type ifb
	ip -n $B link set b2 up
	"$TC" -n $B qdisc add dev b1 ingress
	"$TC" -n $B filter add dev b1 parent ffff: protocol all u32 match u32 0 0 action mirred egress redirect dev b2
	on flood && keeps_rules && has_stages ifb nft
	check_time "ifb: a send is no longer: $(per_packet send)" "$(per_packet send) < 4" "$off_send ns, $on_send"
}

tun_up() {
	ip -n $B tuntap add dev b2 mode tun
	device_up $B b2 198.18.2.1/24
}

hidden_tun() {
	needs tun || return
	tun_up
	by_rules "tun nft" b "$LOAD" tun b2 $OVER $ADDRESS 0.5 0
	# Back out of the device.
	b nft flush ruleset
	ip -n $B route add 198.18.3.0/24 dev b2
	b sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
	on b "$LOAD" tun b2 $OVER 198.18.3.3 0.5 0 && has_stages tun forward_v4
	check "tun: the device's packets were read" "$(load_value recvs) > 0.9 * $(load_value sends)" "$(cat "$T/load")"
	check_time "tun: net has $(ratio $on_net $on_used) of the process's time" "$on_net > 0.5 * $on_used"
}

# Connections that begin and go on no further: TCP's timers answer again, one second later and so on.
hidden_syns() {
	needs tun || return
	tun_up
	ENOUGH=1 on b "$LOAD" syns b2 $OVER $ADDRESS 4000 6
	# The pool: what samples have taken, and what they have left.
	check "syns: the timers' answers are in net" "$(ns all net_other) > 0.5 * $(ns all softirq)"
}

hidden_nfqueue() {
	needs nfnetlink_queue nft_queue || return
	off_rules input
	b nft add chain ip netto queued "{ type filter hook prerouting priority 0; }"
	b nft add rule ip netto queued udp dport 9 queue num 0
	b "$LOAD" nfqueue 0 >"$T/queue" &
	queue=$!
	wait_for grep -q bound "$T/queue"
	on flood && keeps_rules && has_stages nfqueue nft
	stop $queue
}

hidden_pktgen() {
	needs pktgen || return
	by_rules "pktgen nft" pktgen 3000
	rmmod pktgen # whose threads look for work again and again
}

pktgen() { # PACKETS
	b sh -c "
		cd /proc/net/pktgen
		echo rem_device_all >kpktgend_0
		echo add_device b1 >kpktgend_0
		for line in 'count $1' 'xmit_mode netif_receive' 'dst $ADDRESS' 'src_min 192.0.2.1' 'src_max 192.0.2.1' \
			'dst_mac $(b cat /sys/class/net/b1/address)'; do
			echo \"\$line\" >b1 || exit
		done
		echo start >pgctrl"
}

hidden_xdplive() {
	[ "$(uname -r | cut -d. -f1)" -ge 6 ] || { skip xdplive "not before 5.18"; return; }
	by_rules nft b "$LOAD" xdplive 192.0.2.1 $ADDRESS 3000
}

hidden_macvlan() {
	needs macvlan || return
	off a "$LOAD" packet_send 3000 a1
	ip -n $B link add link b1 name b2 type macvlan mode bridge
	ip -n $B link set b2 up
	on a "$LOAD" packet_send 3000 a1 && has_stages macvlan
	check "macvlan: a worker's part of it" "$(field stage all net_other/macvlan 11) > 0" "$(grep net_other "$T/csv")"
}

# Services without traffic: a timer counts for each, from 6.2 on threads.
hidden_ipvs() {
	command -v ipvsadm >/dev/null && needs ip_vs ip_vs_rr || return
	seq 10000 | awk '{ printf "-A -t 10.9.%d.%d:80 -s rr\n", $1 / 250, $1 % 250 }' | b ipvsadm -R
	ENOUGH=100 on sleep 2
	check "ipvs: it is there: $(stage ipvs 2) samples" "$(stage ipvs 2) >= 50" "$(cat "$T/stages")"
	b ipvsadm -C
}

# --- protocols and devices with code of their own -------------------------------------------

hidden_wifi() {
	command -v iw >/dev/null && needs mac80211_hwsim || return
	iw phy "$(cat /sys/class/net/wlan0/phy80211/name)" set netns name $A
	iw phy "$(cat /sys/class/net/wlan1/phy80211/name)" set netns name $B
	ip -n $A link set wlan0 name a2
	ip -n $B link set wlan1 name b2
	for end in a b; do
		$end iw dev ${end}2 set type ibss
		$end ip link set ${end}2 up
		$end iw dev ${end}2 ibss join netto 2412 fixed-freq 02:00:00:00:00:aa # one cell from the start
	done
	over_ends "wifi nft"
	rmmod mac80211_hwsim
}

# The kernel's own USB device and host, in one.
hidden_usbnet() {
	needs dummy_hcd cdc_ether usb_f_ecm || return
	before=$(printf '%s\n' /sys/class/net/*)
	needs g_ether || return
	wait_for usb_is_up
	set -- $new # the device's end, then the host's: it must be up when the device says that there is a link
	ip link set "${2##*/}" netns $A name a2
	ip link set "${1##*/}" netns $B name b2
	over_ends nft
	on flood $OVER && has_stages usbnet
	rmmod g_ether
}

usb_is_up() { # two devices more
	new=$(printf '%s\n' /sys/class/net/* | grep -vxF "$before")
	[ "$(echo $new | wc -w)" = 2 ]
}

hidden_macsec() {
	needs macsec || return
	key_a=000102030405060708090a0b0c0d0e0f key_b=f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff
	macsec_end $A a1 a2 $key_a $key_b "$(b cat /sys/class/net/b1/address)"
	macsec_end $B b1 b2 $key_b $key_a "$(a cat /sys/class/net/a1/address)"
	over_ends "macsec nft"
}

macsec_end() { # NAMESPACE LINK NAME KEY KEY-OF-THE-OTHER ITS-ADDRESS
	ip -n $1 link add link $2 name $3 type macsec encrypt on
	ip -n $1 macsec add $3 tx sa 0 pn 1 on key 00 $4
	ip -n $1 macsec add $3 rx address $6 port 1
	ip -n $1 macsec add $3 rx address $6 port 1 sa 0 pn 1 on key 01 $5
}

hidden_hsr() {
	needs hsr || return
	ip -n $A link add a3 type veth peer name b3 netns $B
	both_ends link set @3 up
	both_ends link add name @2 type hsr slave1 @1 slave2 @3
	over_ends "hsr nft"
}

hidden_batadv() {
	needs batman_adv || return
	both_ends link add @2 type batadv
	both_ends link set @1 master @2
	over_ends "batadv nft"
}

hidden_mpls() {
	needs mpls_router mpls_iptunnel || return
	b sh -c 'echo 1000 >/proc/sys/net/mpls/platform_labels; echo 1 >/proc/sys/net/mpls/conf/b1/input'
	ip -n $B addr add $OVER/32 dev lo
	ip -n $B -f mpls route add 100 dev lo
	ip -n $A route add $OVER/32 encap mpls 100 via inet $ADDRESS dev a1
	by_rules "mpls nft" flood $OVER
}

# The rules are for the second time that a packet comes to prerouting.
hidden_vrf() {
	needs vrf || return
	off_rules
	ip -n $B link add b2 type vrf table 10
	ip -n $B link set b2 up
	ip -n $B link set b1 master b2
	to_rules 'iifname "b1" accept'
	on flood && keeps_rules && has_stages vrf nf_prerouting_v4
	has_little netfilter
}

# --- eBPF programs that are loaded while netto measures -------------------------------------

hidden_netkit() {
	ip -n $A link add a2 type netkit 2>"$T/try" || { skip netkit "this kernel has none: $(cat "$T/try")"; return; }
	ip -n $A link set nk0 netns $B name b2
	ends_up
	off_rules
	a "$LOAD" program a2 sleep 600 &
	program=$!
	on flood $OVER && keeps_rules
	b nft flush ruleset
	on flood $OVER && has_stages netkit bpf
	has_little tracing
	has_little driver_tx
	stop $program
}

hidden_cgroup() {
	cgroup_up
	off "$LOAD" sendloop 0.5 0
	"$LOAD" program "$T/cgroup" sleep 600 &
	program=$!
	on "$LOAD" sendloop 0.5 0 && keeps_share && has_stages bpf
	has_little tracing
	stop $program
}

# It comes and goes again and again: nobody knows its symbol any more, but what called it is known.
hidden_passing() {
	cgroup_up
	off "$LOAD" sendloop 0.2 0
	on "$LOAD" program "$T/cgroup" "$LOAD" sendloop 0.2 0
	has_little tracing
}

cgroup_up() {
	mkdir -p "$T/cgroup"
	grep -q " $T/cgroup " /proc/mounts || mount -t cgroup2 cgroup "$T/cgroup"
}

# --- operations -----------------------------------------------------------------------------

stream() { "$LOAD" stream "$1" 0.5 0 1 4096; } # KIND

# The same bytes as TCP's.
streams() { # KIND
	off stream tcp4
	on stream "$1" && keeps_share && has_stages "$1"
	check "$1: send and recv have something" "$on_send > 0.05 * $on_net && $on_recv > 0.02 * $on_net"
}

hidden_mptcp() { streams mptcp; }
hidden_sctp() { needs sctp && streams sctp; }
hidden_tls() { needs tls && streams tls; }
hidden_sockmap() { streams sockmap; }

# In a range of ports that is nearly full.
hidden_bind() {
	b sh -c 'echo "32768 33567" >/proc/sys/net/ipv4/ip_local_port_range'
	on b "$LOAD" binds 790 && has_stages connection
	check_time "bind: conn has $(ratio "$(ns all conn)" $on_used) of the time" "$(ns all conn) > 0.6 * $on_used"
}

hidden_accept() {
	on "$LOAD" accepts 120 0.5 0
	check "accept: conn knows its stages" "$(field stage all conn/unknown 8) <= 0.02 * $on_samples" "$(grep stage,all,conn "$T/csv")"
}

# Packets to the CPU's own queue; another CPU's by RPS.
hidden_backlog() {
	on "$LOAD" udpflood 0.5 0 1 && has_stages backlog
	check "backlog: no rps" "$(stage rps 2) == 0" "$(cat "$T/stages")"
	xdp_on # or veth puts packets into the queue by itself
	steer 2
	on flood && has_stages rps
}

# --- no network -----------------------------------------------------------------------------

all_samples() { awk -F, '$3 == "run" && $5 == "samples" { n += $8 } END { print n + 0 }'; }

# Ten thousand samples; a rate of 0.02 % is taken for 0.1 % with probability 8e-6.
is_none() { # COMMAND...
	ENOUGH=10000 COUNT=all_samples measure repeated "$@"
	busy=$(total event all '^(net|other|softirq)$' 6)
	check "$what: net_other has $(ratio "$(ns all net_other)" $busy) of the time" "$(ns all net_other) < 0.001 * $busy" \
		"$(grep -e event,all -e net_other "$T/csv")"
}

hidden_no_unix() { is_none "$LOAD" unixflood 4 0; }
hidden_no_forks() { is_none sh -c 'for i in $(seq 300); do (: | :); done'; }

hidden_no_dumps() {
	seq 10000 | awk '{ printf "route add 10.%d.%d.0/24 dev a1\n", $1 / 250, $1 % 250 }' | ip -n $A -batch -
	is_none routes 10
}

routes() { # TIMES
	for _ in $(seq "$1"); do
		ip -n $A route show >/dev/null || return
	done
}

hidden_no_disk() {
	needs loop || return
	dd if=/dev/zero of="$T/disk" bs=1M count=16 2>/dev/null
	device=$(losetup -f)
	losetup "$device" "$T/disk"
	is_none disk "$device"
	losetup -d "$device"
	rm "$T/disk"
}

disk() { dd if=/dev/zero of="$1" bs=64k count=256 conv=fsync 2>/dev/null; } # DEVICE

trap net_down EXIT
names=$(sed -n 's/^hidden_\([a-z0-9_]*\)() {.*/\1/p' "$0")
shift
[ $# -gt 0 ] || set -- $names
# Modules' functions must be there when netto reads kallsyms.
for what; do
	# shellcheck disable=SC2046 # words
	modprobe -a $(sed -n "/^hidden_$what() {/,/}$/s/.*needs \([a-z0-9_ ]*\).*/\1/p" "$0" | sed 's/mac80211_hwsim/mac80211/; s/dummy_hcd//; s/g_ether//')
done 2>"$T/modprobe"
modprobe -a nf_tables nft_counter 2>"$T/modprobe"
net_up
REPORT=60000 INTERVAL=0.3
begin_session -F 997 -s 0 -m "${MODE:-auto}"
for what; do
	start=$(cut -d' ' -f1 /proc/uptime)
	case $what in
	no_*) ;; # to take away the last test's namespaces is work of the network
	*) net_up && reaches $ADDRESS ;;
	esac
	hidden_"$what"
	echo "note: $what: $(awk -v start=$start '{ print $1 - start }' /proc/uptime) s"
done
end_session
