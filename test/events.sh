# shellcheck shell=sh
# What is neither NET_RX, NET_TX nor a socket operation: each event with something that is known of it, and none where it is not.
# For a virtual machine with a virtio network card, in busybox's sh. Runs as root; $1 = the name of the test, $2... = some of
# the functions below, without their event_; all without.
#
# Two namespaces over veth, netto-a sends from CPU 0, netto-b receives on CPU 1. The kernel's own counters of calls (kprobes,
# which count without eBPF), of interrupts and of the CPU time of threads are what netto must agree with.
# shellcheck disable=SC2034 # for lib.sh
part=$1
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/samples.sh"
A=netto-a B=netto-b ADDRESS=192.0.2.2
TC=$(which tc) # not the shell's own, which busybox's prefers
XDP=${XDP:-/xdp.o}
TRACING=/sys/kernel/tracing
EVENTS="napi_thread busy_poll tcp_work net_worker hardirq io_worker"

# veth polls where there is XDP.
xdp_on() {
	ip -n $B link set b1 xdpdrv obj "$XDP" sec xdp
}

xdp_off() {
	ip -n $B link set b1 xdpdrv off
}

threaded() { # 0|1
	ip netns exec $B sh -c "echo $1 >/sys/class/net/b1/threaded" 2>"$T/try"
}

udp() { # SECONDS [COMMAND...]: measured, or whatever the command does with it
	seconds=$1
	shift
	"${@:-measure}" load udppath $A $B "${TO:-$ADDRESS}" "$seconds" 0 1 64
}

is_rt() {
	grep -q PREEMPT_RT /proc/version
}

# What the functions that netto hooks for an event are: of the last measurement.
functions() { # EVENT
	sed -n "s/.*,hook\/$1=[a-z]*:\([^,]*\),.*/\1/p" "$T/csv" | tr '+' ' ' | sed 's/[a-z_]*://g'
}

count_calls() { # FUNCTION...: from now on
	[ ! -e $TRACING/events/calls ] || echo 0 >$TRACING/events/calls/enable
	echo >$TRACING/kprobe_events
	for f in "$@"; do
		echo "p:calls/$f $f" >>$TRACING/kprobe_events || fail "calls of $event" "cannot count $f"
	done
	[ $# = 0 ] || echo 1 >$TRACING/events/calls/enable
}

calls() { # [missed]: with those, too, which came while a probe ran; netto's own kprobes miss them as well
	awk -v missed="${1-}" '{ s += $2; if (missed) s += $3 } END { print s + 0 }' $TRACING/kprobe_profile
}

# counted EVENT WHAT COMMAND...: netto's count of the event is the kernel's, of the same time.
counted() {
	event=$1 what=$2
	shift 2
	"$NETTO" -c -F 0 0.01 >"$T/csv" 2>"$T/err"
	functions=$(functions "$event")
	# shellcheck disable=SC2086 # words
	count_calls $functions
	first=$(calls) # what goes on around the load
	start_netto -c -F 997 600
	before=$(calls)
	"$@" >"$T/load" 2>&1 || fail "$what" "$*: exit status $?: $(cat "$T/load")"
	called=$(($(calls) - before))
	stop_netto
	most=$(($(calls missed) - first))
	count_calls
	conserved "$what"
	check "$what: $event has as many entries as its functions have calls ($called)" \
		"$called > 0 && $(count all "$event") >= $called && $(count all "$event") <= $most" "$(count all "$event"): $functions"
}

# none_but WHAT EVENT...: of the events that this is about.
none_but() {
	what=$1
	shift
	for event in $EVENTS; do
		case " $* " in
		*" $event "*) ;;
		*) check "$what: no $event" "$(count all "$event") == 0 && $(ns all "$event") == 0 &&
			$(grep -c "event,all,$event," "$T/csv") == 1" "$(grep -e event,all -e "^netto" "$T/csv" "$T/err")" ;;
		esac
	done
}

# How often threads whose names begin so were switched from.
switches() { # NAME
	for t in /proc/[0-9]*; do
		case $(cat "$t/comm" 2>/dev/null) in
		"$1"*) grep ctxt_switches "$t/status" ;;
		esac
	done | awk '{ s += $2 } END { print s + 0 }'
}

# Plain UDP, of which these threads have a part: as many entries as switches to them. What they take is truth.sh's matter.
threads() { # WHAT NAME
	first=$(switches "$2")
	start_netto -c -F 997 600
	before=$(switches "$2")
	udp 1.5 env >"$T/load"
	after=$(switches "$2")
	stop_netto
	most=$(($(switches "$2") - first))
	conserved "$1"
	check "$1: napi_thread has as many entries as its threads were switched to ($((after - before)))" \
		"$(count all napi_thread) >= $after - $before && $(count all napi_thread) <= $most + 2 && $after - $before > 20" \
		"$(count all napi_thread)"
	check "$1: it is a good part of net" "$(ns all napi_thread) > 0.1 * $(ns all net)" "$(grep event,all "$T/csv")"
	shared_out "$1"
	none_but "$1" napi_thread
}

# --- events ---------------------------------------------------------------------------------

event_quiet() {
	udp 1
	none_but "plain UDP"
	check "plain UDP: as the load did" "$(load_value recvs) > 100" "$(cat "$T/load")"
}

# The same packets, polled in a softirq and in a thread.
event_napi_thread() {
	xdp_on
	udp 1.5
	none_but "polled"
	if ! threaded 1; then
		skip napi_thread "no threaded NAPI in this kernel: $(cat "$T/try")"
		xdp_off
		return
	fi
	threads threaded napi/b1
	check "threaded: rx_softirq is below a tenth of it" "$(ns all rx_softirq) < 0.1 * $(ns all napi_thread)" "$(grep event,all "$T/csv")"
	check "threaded: its stages are known" "$(stage_total napi_thread/udp_rx) > 0" "$(grep stage,all,napi_thread "$T/csv")"
	threaded 0
	xdp_off
}

# RPS to CPU 1 is the backlog thread's, where there is one (PREEMPT_RT from 6.10 on).
event_backlog() {
	if ! grep -q '^backlog_napi' /proc/[0-9]*/comm 2>/dev/null; then
		skip backlog "this kernel has no threads for its backlog: they are PREEMPT_RT's from 6.10 on"
		return
	fi
	ip netns exec $B sh -c 'echo 2 >/sys/class/net/b1/queues/rx-0/rps_cpus'
	threads backlog backlog_napi
	ip netns exec $B sh -c 'echo 0 >/sys/class/net/b1/queues/rx-0/rps_cpus'
}

# 20 ms of polling each, in which nothing comes.
event_busy_poll() {
	xdp_on
	for how in "" epoll; do
		[ -z "$how" ] || echo 20000 >/proc/sys/net/core/busy_poll
		# shellcheck disable=SC2086 # a word, or none
		counted busy_poll "busy polling${how:+ in $how}" load busypoll $A $B $ADDRESS 20000 25 $how
		polled=$((called * 20000000))
		check "busy polling${how:+ in $how}: it is the time polled ($polled ns), and no recv" \
			"$called >= 25 && $(ns all busy_poll) > 0.97 * $polled && $(ns all busy_poll) < 1.2 * $polled &&
			 $(ns all recv) < 0.1 * $polled" "$(grep event,all "$T/csv"; cat "$T/load")"
		none_but "busy polling${how:+ in $how}" busy_poll
		echo 0 >/proc/sys/net/core/busy_poll
	done
	xdp_off
}

# Bulk TCP that must wait: for a shaper, and for the pacing of a queue.
event_tcp_work() {
	for qdisc in "tbf rate 200mbit burst 64kb latency 50ms" "fq maxrate 200mbit"; do
		# shellcheck disable=SC2086 # words
		"$IP" netns exec $A "$TC" qdisc add dev a1 root $qdisc
		counted tcp_work "TCP through ${qdisc%% *}" load tcppath $A $B $ADDRESS 1.5 0 1 65000
		check "TCP through ${qdisc%% *}: more than 20 times, and it takes time" \
			"$(count all tcp_work) > 20 && $(ns all tcp_work) > 20000" "$(grep event,all "$T/csv"; cat "$T/load")"
		# shellcheck disable=SC2046 # a word, or none
		none_but "TCP through ${qdisc%% *}" tcp_work $(is_rt && echo napi_thread) # of the backlog
		"$IP" netns exec $A "$TC" qdisc del dev a1 root
	done
}

wireguard_up() {
	ip -n $A link add a2 type wireguard
	ip -n $B link add b2 type wireguard
	join_peers $ADDRESS
	ends_up
}

event_wireguard() {
	wireguard_up
	TO=198.18.2.2
	counted net_worker WireGuard udp 1.5 env
	TO=
	check "WireGuard: net_worker is a good part of net" "$(ns all net_worker) > 0.1 * $(ns all net)" "$(grep event,all "$T/csv")"
	check "WireGuard: its workers' stages are known" "$(stage_total net_worker/wireguard) > 0" "$(grep stage,all,net_worker "$T/csv")"
	none_but WireGuard net_worker napi_thread # its NAPI is threaded in 7.3
	ends_away
}

# The kernel has it from now on.
algorithm() { # NAME
	: >"$T/algorithm"
	load algorithm aead "$1" >"$T/algorithm" 2>&1 &
	holders="$holders $!"
	wait_for grep -q . "$T/algorithm"
	grep -q held "$T/algorithm" || fail "$1" "$(cat "$T/algorithm")"
}

# IPsec, which queues what it has decrypted for a worker, with its encryption on cryptd's queue besides, or on padata's.
event_ipsec() {
	cipher="rfc4106(gcm(aes))" holders=
	for module in algif_aead esp4 gcm seqiv; do
		modprobe $module 2>/dev/null # or it is no module
	done
	# Stable releases of 5.10 and 6.1 have templates that fail the kernel's own tests, and 7.3 needs none.
	case $part in
	events-6.12*) set -- xfrm cryptd pcrypt ;;
	*) set -- xfrm ;;
	esac
	for template in "$@"; do
		if [ "$template" != xfrm ]; then
			modprobe "$template"
			# The kernel finds such an instance only by the name of its driver.
			algorithm "$cipher"
			algorithm "$template($(awk -v name="$cipher" '
				/^name/ { found = $3 == name } found && /^driver/ { print $3 }' /proc/crypto | tail -n 1))"
		fi
		for ns in $A $B; do
			ip -n "$ns" xfrm state add src 192.0.2.1 dst $ADDRESS proto esp spi 1 reqid 1 mode transport \
				aead "$cipher" 0x0102030405060708090a0b0c0d0e0f1011121314 128
		done
		for end in "$A out" "$B in"; do
			ip -n "${end% *}" xfrm policy add src 192.0.2.1 dst $ADDRESS dir "${end#* }" \
				tmpl src 192.0.2.1 dst $ADDRESS proto esp reqid 1 mode transport
		done
		counted net_worker "IPsec by $template" udp 1.5 env
		check "IPsec by $template: net_worker is a good part of net" \
			"$(ns all net_worker) > 0.04 * $(ns all net)" "$(grep event,all "$T/csv"; cat "$T/load")"
		none_but "IPsec by $template" net_worker
		for ns in $A $B; do
			ip -n "$ns" xfrm state flush
			ip -n "$ns" xfrm policy flush
		done
	done
	# shellcheck disable=SC2086 # words
	[ -z "$holders" ] || kill $holders
}

# Frames of what could be a virtual machine.
event_vhost() {
	modprobe tun 2>/dev/null
	modprobe vhost_net
	counted net_worker "vhost-net" load vhost 6400
	# vhost-net goes on to the next frames after 256 (VHOST_NET_PKT_WEIGHT in drivers/vhost/net.c)
	check "vhost-net: as many runs as these frames take at the least, which are most of net" \
		"$called >= 6400 / 256 && $(load_value frames) == 6400 && $(ns all net_worker) > 0.5 * $(ns all net)" "$(grep event,all "$T/csv"; cat "$T/load")"
	none_but "vhost-net" net_worker
}

event_ktls() {
	for module in tls gcm; do
		modprobe $module 2>/dev/null
	done
	if ! load ktls 1 >"$T/try" 2>&1; then
		skip ktls "$(cat "$T/try")"
		return
	fi
	counted net_worker "kTLS" load ktls 2000
	none_but "kTLS" net_worker tcp_work
}

event_mptcp() {
	if ! load mptcp 1 >"$T/try" 2>&1; then
		skip mptcp "$(cat "$T/try")"
		return
	fi
	counted net_worker "MPTCP" load mptcp 40
	none_but "MPTCP" net_worker tcp_work
}

# Interrupts of the network card, as the kernel counts them, and none of others.
irqs() { # PATTERN
	awk -v pattern="$1" '$0 ~ pattern { for (i = 2; i <= 3; i++) s += $i } END { print s + 0 }' /proc/interrupts
}

# The kernel's own trace of top halves, and of what schedules NAPI.
trace_irqs() { # 0|1
	[ "$1" = 0 ] || echo 'r:calls/prep napi_schedule_prep ret=$retval:u8' >$TRACING/kprobe_events
	for e in irq/irq_handler_entry irq/irq_handler_exit calls/prep; do
		echo "$1" >$TRACING/events/$e/enable
	done
	[ "$1" = 0 ] || return
	cat $TRACING/trace >"$T/trace" # the next line empties it
	echo >$TRACING/kprobe_events
}

event_hardirq() {
	card_up
	start_netto -c 600
	trace_irqs 1
	before=$(irqs 'virtio0-(in|out)put')
	ping -c 150 -i 0.01 10.0.2.2 >"$T/load" 2>&1
	after=$(irqs 'virtio0-(in|out)put')
	trace_irqs 0
	stop_netto
	conserved "virtio-net"
	scheduled=$(awk '
		{ match($0, /\[[0-9]*\]/); cpu = substr($0, RSTART, RLENGTH) }
		/irq_handler_entry/ { scheduled[cpu] = 0; inside[cpu] = 1 }
		/prep: .*ret=1/ && inside[cpu] { scheduled[cpu] = 1 }
		/irq_handler_exit/ { n += scheduled[cpu]; scheduled[cpu] = inside[cpu] = 0 }
		END { print n + 0 }' "$T/trace")
	# Those that find no work, or the polling under way, do not.
	check "virtio-net: of the top halves in /proc/interrupts ($((after - before))) those that scheduled NAPI ($scheduled)" \
		"$(count all hardirq) >= $scheduled && $(count all hardirq) <= $scheduled + 2 &&
		 $scheduled <= $after - $before + 2 && $after - $before >= 150" "$(count all hardirq); $(grep virtio /proc/interrupts)"
	if is_rt; then # there threads do it
		none_but "virtio-net"
	else
		check "virtio-net: there are some, they take time, and less than what they raise" \
			"$scheduled >= 100 && $(ns all hardirq) > 0 && $(ns all hardirq) < $(ns all rx_softirq)" \
			"$(grep event,all "$T/csv")"
		none_but "virtio-net" hardirq
	fi
	ip link set eth0 down
	start_netto -c 600
	before=$(irqs ttyS)
	for _ in $(seq 300); do
		printf '\r\r\r\r\r\r\r\r\r\r\r\r\r\r\r\r' # a line that is empty
	done >/dev/ttyS0
	sleep 0.2
	after=$(irqs ttyS)
	stop_netto
	conserved "a serial port"
	check "a serial port's top halves are others ($((after - before)))" "$after - $before >= 8" "$(cat /proc/interrupts)"
	none_but "a serial port"
}

event_io_worker() {
	# The kernel leaves interrupts out, which samples are; where a host stops an emulated CPU in one, up to 10 ms were seen.
	HZ=0
	measure load uring_work 240 || return
	worker=$(load_value worker_ns)
	if [ "$part" = events-5.10 ]; then # there they are no threads of the process
		check "io_uring: io_worker takes time" "$(ns all io_worker) > 1000000" "$(grep event,all "$T/csv")"
	else
		check "io_uring: io_worker is what the workers ran ($worker ns)" \
			"$(ns all io_worker) > 0.95 * $worker && $(ns all io_worker) < 1.05 * $worker && $worker > 10000000" \
			"$(ns all io_worker); $(cat "$T/load")"
	fi
	none_but io_uring io_worker
	check "io_uring: io_worker is no part of net" \
		"$(ns all net) + $(ns all io_worker) + $(ns all other) + $(ns all idle) == $(wall all)" "$(grep event,all "$T/csv")"
	measure load uring_work 1 # all in the first run of a worker, before it has its name
	check "io_uring: the first run of a worker is one" "$(ns all io_worker) > 1000000" "$(grep event,all "$T/csv"; cat "$T/load")"
	HZ=
	measure load uring_work 500 sqpoll || return
	none_but "io_uring's SQPOLL"
}

# NVMe over TCP reads from its socket without a socket operation, in a worker.
event_read_sock() {
	case $(uname -r) in
	5.10.*)
		skip "NVMe over TCP" "the kernel's own nvmet may warn of itself here (check_flush_dependency), and a kernel's warnings fail"
		return
		;;
	esac
	modprobe nvmet_tcp
	modprobe nvme_tcp
	mount -t configfs none /sys/kernel/config 2>/dev/null
	ip link set lo up
	target=/sys/kernel/config/nvmet
	mkdir $target/subsystems/netto $target/ports/1
	echo 1 >$target/subsystems/netto/attr_allow_any_host
	echo tcp >$target/ports/1/addr_trtype
	echo ipv4 >$target/ports/1/addr_adrfam
	echo 127.0.0.1 >$target/ports/1/addr_traddr
	echo 4420 >$target/ports/1/addr_trsvcid
	ln -s $target/subsystems/netto $target/ports/1/subsystems/netto
	counted recv "NVMe over TCP" sh -c 'echo transport=tcp,traddr=127.0.0.1,trsvcid=4420,nqn=netto,hostnqn=nqn.2014-08.org.nvmexpress:uuid:00000000-0000-0000-0000-000000000001,hostid=00000000-0000-0000-0000-000000000001 >/dev/nvme-fabrics'
	check "NVMe over TCP: some of it by tcp_read_sock" "$(functions recv | grep -c tcp_read_sock) == 1" "$(functions recv)"
	none_but "NVMe over TCP" tcp_work
	echo 1 >/sys/class/nvme/nvme0/delete_controller
}

# Some of it where nothing but raw tracepoints and kprobes is left.
event_fallbacks() {
	export NETTO_WITHOUT="btf fentry"
	event_busy_poll
	event_tcp_work
	event_hardirq
	unset NETTO_WITHOUT
}

# For test/results.md: instructions of a run of each program, by the kernel's statistics where its clock counts them (test/vm -i). Those
# of an empty one, which build/test/attach runs, are to be taken off. Not a test: by name only.
event_hooks() {
	card_up
	wireguard_up # so that its functions are there
	load udpsend $A $B 198.18.2.2 10 0 1000000 >/dev/null
	echo 1 >/proc/sys/kernel/bpf_stats_enabled
	start_netto -c -F 0 600
	load udpsend $A $B 198.18.2.2 300 0 1000000 sleep >/dev/null
	ends_away
	"$IP" netns exec $A "$TC" qdisc add dev a1 root tbf rate 200mbit burst 64kb latency 50ms
	load tcppath $A $B $ADDRESS 0.5 0 0 65000 >/dev/null
	xdp_on
	threaded 1
	load udpsend $A $B $ADDRESS 300 0 1000000 sleep >/dev/null
	threaded 0
	load busypoll $A $B $ADDRESS 1000 100 >/dev/null
	ping -q -c 50 -i 0.01 10.0.2.2 >/dev/null
	bpftool prog show --json | tr '{' '\n' | sed -n 's/.*"name":"\(netto[a-z_0-9]*\)".*"run_time_ns":\([0-9]*\),"run_cnt":\([0-9]*\).*/\1 \2 \3/p' |
		awk '$3 > 20 { printf "hook: %s %.0f %d\n", $1, $2 / $3, $3 }' | sort -k3n
	stop_netto
}

# For test/results.md: the same 4,000 packets a second through three set-ups. Not a test: by name only.
event_example() {
	xdp_on
	for setup in plain threaded wireguard; do
		case $setup in
		threaded) threaded 1 ;;
		wireguard) threaded 0; wireguard_up; TO=198.18.2.2 ;;
		esac
		load udpsend $A $B "${TO:-$ADDRESS}" 100 0 250000 sleep >/dev/null
		load udpsend $A $B "${TO:-$ADDRESS}" 100000 0 180000 sleep >/dev/null &
		sleep 1
		echo "== $setup"
		"$NETTO" -s 0 5
		kill $!
		wait $! 2>/dev/null
	done
}

trap net_down EXIT
mount -t tracefs none $TRACING 2>/dev/null
net_up
for ns in $A $B; do
	ip -n "$ns" link set lo up
done
names="quiet napi_thread backlog busy_poll tcp_work wireguard ipsec vhost ktls mptcp hardirq io_worker read_sock"
case $part in
events-5.10) names="$names fallbacks" ;;
*-rt) names="quiet napi_thread backlog busy_poll tcp_work wireguard hardirq" ;; # there all takes twice as long
esac
shift
[ $# = 0 ] || names=$*
for name in $names; do
	event_"$name"
done
