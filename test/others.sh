# shellcheck shell=sh
# netto against other tools that measure at the same time, on this machine. Runs as root; $1 = the name of the test.
# shellcheck disable=SC2034 # for lib.sh
part=$1
. "$(dirname "$0")/lib.sh"
BURN=${BURN:-burn}
UNSEEN=1
A=netto-ta B=netto-tb ADDRESS=192.0.2.2

start_softirqs() {
	softirqs -N 600 1 >"$T/softirqs" 2>&1 &
	softirqs=$!
	wait_for sh -c 'bpftool prog | grep -q softirq_exit' # it says nothing into a file before its end
	sleep 0.5
}

stop_softirqs() {
	kill -INT $softirqs
	wait $softirqs
	theirs=$(awk '$1 == "net_rx" { print $2 }' "$T/softirqs")
}

proc_stat() { # ticks in softirqs, and all
	awk '/^cpu / { for (i = 2; i <= 9; i++) all += $i; print $8, all }' /proc/stat
}

start_both() { # NAME: who comes first
	if [ "$1" = netto ]; then
		start_netto -c -F 0 600
		start_softirqs
	else
		start_softirqs
		start_netto -c -F 0 600
	fi
}

stop_both() {
	sleep 0.2
	stop_softirqs
	stop_netto
	mine=$(ns all rx_softirq) times=$(count all rx_softirq)
	ratio=$(awk "BEGIN { printf \"%.4f\", $mine / ${theirs:-1} }")
	more=$(awk "BEGIN { printf \"%.0f\", ($mine - ${theirs:-0}) / ($times + 1) }")
}

# libbpf-tools' softirqs adds up each softirq between the same two tracepoints. Both tools measure before the load begins and
# after it has ended, so both see all of it. Of two programs at a tracepoint the one that was attached first runs first, so
# each tool has some of the other's programs in its time: some ns for each softirq, which matter where they are short (a
# flood), and not where each takes 20 us.
others() {
	command -v softirqs >/dev/null || {
		skip "NET_RX against softirqs" "there are no libbpf-tools here"
		return
	}
	net_up
	for first in netto softirqs; do
		start_both $first
		before=$(proc_stat)
		"$LOAD" udppath $A $B $ADDRESS 4 0 1 >"$T/load" 2>&1
		after=$(proc_stat)
		stop_both
		conserved "a flood, $first first"
		check "a flood, $first first: netto has $more ns more than softirqs in each of $times NET_RX softirqs (ratio $ratio)" \
			"$more < 200 && $more > -200 && $times > 1000" "$(cat "$T/softirqs")"
		# by ticks (no IRQ_TIME_ACCOUNTING here), and of all softirqs, with the top halves' time in them: for the reader
		echo "$before $after" | awk -v part="$part" -v mine="$mine" \
			-v all="$(awk '$2 ~ /^[0-9]+$/ { s += $2 } END { print s }' "$T/softirqs")" '{
				printf "note: %s: all softirqs: %.2f s by the ticks of /proc/stat, %.2f s by softirqs; NET_RX by netto: %.2f s\n",
					part, ($3 - $1) / 100, all / 1e9, mine / 1e9 }'

		start_both $first
		ip netns exec $B "$BURN" ingress b1 20000 "$LOAD" udpsend $A $B $ADDRESS 100000 1 >"$T/load" 2>&1
		stop_both
		conserved "a burn, $first first"
		check "a burn, $first first: netto has $ratio of the $theirs ns that softirqs has, and $(
			awk "BEGIN { printf \"%.4f\", $mine / $(load_value burnt_ns) }") of what was burnt" \
			"$mine > 0.98 * ${theirs:-0} && $mine < 1.02 * ${theirs:-0} && $mine > $(load_value burnt_ns)" "$(cat "$T/softirqs" "$T/load")"
	done
}

trap net_down EXIT
others
