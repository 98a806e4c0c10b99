# shellcheck shell=sh
# netto as a command, on this machine, as root: options, streams, signals, samples. Nothing here depends on how fast or how
# quiet the machine is. $1 = host, $2... = some of the functions below, without their test_; all without.
# shellcheck disable=SC2034,SC2086,SC2154 # for lib.sh, and from it; words
part=$1
. "$(dirname "$0")/lib.sh"
UNSEEN=1
export NETTO_WITHOUT=cycles # samples by time can be counted

# --- Samples ---

# A timer never fires early, so this is an exact upper bound. There is no lower bound: that depends on how busy the machine is.
most_samples() { # HZ
	awk -F, -v hz="$1" -v cpus="$(getconf _NPROCESSORS_ONLN)" '$5 == "elapsed" { n += cpus * ($6 * hz / 1e9 + 1) } END { printf "%d", n }' "$T/csv"
}

samples_of() { # EVENT
	awk -F, -v event="^$1/" '$3 == "stage" && $4 == "all" && $5 ~ event { n += $8 } END { print n + 0 }' "$T/csv"
}

# flood_until NUMBER N OPTIONS...: measures a flood until the command NUMBER prints N or more, and longer if need be. A stage that
# has the share p of its event is missing in n samples with probability (1 - p)^n: for p = 0.1 and n = 200, 7e-10.
flood_until() {
	number=$1 least=$2
	shift 2
	start_flood
	for seconds in 1 2 4 8 16 32 64; do
		with_netto "$@" $seconds
		[ "$($number)" -lt "$least" ] || break
	done
	stop_flood
	case $number in
	samples_of*)
		conserved "a flood"
		shared_out "a flood"
		;;
	esac
}

test_samples() {
	flood_until "samples_of rx_softirq" 200 -c
	check "a UDP flood is udp_rx, and is sent and received" \
		"$(stage_total rx_softirq/udp_rx) > 0 && $(ns all send) > 0 && $(ns all recv) > 0" "$(grep stage,all "$T/csv")"
	check "no more samples than are due" "$(run_row samples 8) + $(run_row samples_lost 8) <= $(most_samples 997)" \
		"$(grep samples "$T/csv"), $(most_samples 997)"
	check "stacks: ten, unless told otherwise, by samples" \
		"$(awk -F, '$3 == "stack" { if (m && $8 > m) bad++; m = $8; n++ } END { print (n == 10 && !bad) }' "$T/csv")" "$(grep ,stack, "$T/csv")"
	if [ "$(hooked send fentry)" = 0 ]; then
		check "operations that are not traced are told from samples, and why/ rows say so" \
			"$(grep -c -e 'event,all,recv,.*,sampled,' -e 'event,all,send,.*,sampled,' "$T/csv") == 2 &&
			 $(grep -c 'why/send=not fentry: .' "$T/csv") == 1" "$(grep -e event,all -e why/ "$T/csv")"
		skip "counts of socket operations on this machine" "$(grep why/send= "$T/csv" | cut -d, -f5)"
	fi
	flood_until "samples_of rx_softirq" 20 -c -s 3 -F 499
	check "-s 3: three stacks" "$(grep -c ',stack,all,' "$T/csv") == 3" "$(grep ,stack, "$T/csv")"
	check "-F 499: no more samples than are due" "$(run_row samples 8) <= $(most_samples 499)" "$(run_row samples 8)"
	with_netto -c -s 0 -F 1 2
	check "-F 1: a sample a second and CPU at most" "$(run_row samples 8) <= $(most_samples 1)" "$(run_row samples 8)"
	check "-s 0: no stacks" "$(grep -c ',stack,' "$T/csv") == 0" "$(grep ,stack, "$T/csv")"
	with_netto -c -F 0 0.3
	check "-F 0: no samples, and no rows of them" \
		"$(grep -c -e ',stage,' -e ',activity,' -e ',stack,' -e ,samples "$T/csv") == 0 &&
		 $(grep -c 'hook/samples=none:,' "$T/csv") == 1" "$(cat "$T/csv")"
	with_netto -l -F 0 0.3
	check "-F 0: text says so" "$(head -n 1 "$T/csv" | grep -c 'no samples$') == 1" "$(head -n 1 "$T/csv")"
	before=$NETTO_WITHOUT
	NETTO_WITHOUT="$before scan"
	flood_until "samples_of rx_softirq" 20 -c -s 0
	check "no search of stacks that cannot be unwound: samples all the same" "$(run_row samples 8) > 0" "$(cat "$T/csv")"
	NETTO_WITHOUT="$before room"
	flood_until "run_row samples_lost 8" 1 -c # there is room for 4 stacks on each CPU
	check "a full table: what is lost is counted" \
		"$(run_row samples_lost 8) > 0 && $(run_row samples 8) > 0 && $(run_row samples 8) + $(run_row samples_lost 8) <= $(most_samples 997)" \
		"$(grep samples "$T/csv")"
	NETTO_WITHOUT=
	flood_until "samples_of rx_softirq" 2 -c
	check "samples by the clock that this machine has" "$(run_row samples 8) > 0" "$(grep samples "$T/csv")"
	NETTO_WITHOUT=$before
}

test_sample_limits() {
	set_sysctl kptr_restrict 2
	with_netto -c 0.2
	"$NETTO" -f 0.2 >"$T/out" 2>"$T/err2"
	folded=$?
	restore_sysctls
	check "-f without samples is exit status 1" "$folded == 1 && $(wc -c <"$T/out") == 0" "$(cat "$T/err2" "$T/out")"
	check "kptr_restrict of 2: no samples, and one line that gives the cure" \
		"$(grep -c 'hook/samples=none:' "$T/csv") == 1 && $(grep -c kernel.kptr_restrict "$T/err") == 1 && $(wc -l <"$T/err") == 1 &&
		 $(wall all) > 0" "$(cat "$T/err")"
	set_sysctl perf_event_max_sample_rate 500
	with_netto -l -F 2000 0.2
	restore_sysctls
	check "more samples than the kernel allows: as many as it does, and one line that says so" \
		"$(grep -c 'at 500 Hz' "$T/csv") == 1 && $(grep -c 'at 500 Hz, not 2000' "$T/err") == 1 && $(wc -l <"$T/err") == 1" \
		"$(cat "$T/err" "$T/csv")"
}

folded_samples() {
	awk '/^rx_softirq;/ { n += $NF } END { print n + 0 }' "$T/csv"
}

# flamegraph.pl takes the folded stacks, and makes a picture of them.
test_folded() {
	flood_until folded_samples 200 -f
	check "-f: folded stacks, the event first" \
		"$(grep -vcE '^(rx_softirq|tx_softirq|recv|send|conn|hardirq|tcp_work|napi_thread|net_worker|busy_poll|net_other)(;[^ ;]+)* [1-9][0-9]*$' "$T/csv") == 0 &&
		 $(grep -c '^rx_softirq;.*net_rx_action;.*process_backlog' "$T/csv") > 0" "$(cat "$T/csv")"
	check "-f: each stack once" "$(sed 's/ [0-9]*$//' "$T/csv" | sort | uniq -d | grep -c .) == 0" \
		"$(sed 's/ [0-9]*$//' "$T/csv" | sort | uniq -d)"
	flamegraph=/usr/share/perl5/Devel/NYTProf/flamegraph.pl
	[ -e $flamegraph ] || {
		skip "flame graph" "there is no $flamegraph here"
		return
	}
	perl $flamegraph "$T/csv" >"$T/svg" 2>"$T/load"
	check "flamegraph.pl makes a picture of it" \
		"$(grep -c '</svg>' "$T/svg") == 1 && $(grep -c 'rx_softirq (' "$T/svg") >= 1 && $(wc -c <"$T/load") == 0" "$(cat "$T/load")"
}

# Operations are told from samples where neither fentry nor kprobes are to be had, and all is where there is no eBPF.
test_without() {
	before=$NETTO_WITHOUT
	for kinds in "fentry kprobe:tp_btf:perf_event" "bpf:perf_ring:perf_ring"; do
		without=${kinds%%:*} operations=${kinds##*:} softirqs=${kinds#*:}
		NETTO_WITHOUT="$before $without"
		flood_until "samples_of send" 20 -c
		check "without $without: softirqs by ${softirqs%:*}, operations from samples" \
			"$(hooked rx_softirq ${softirqs%:*}) == 1 && $(hooked send $operations) == 1 && $(ns all send) > 0 &&
			 $(grep -c 'event,all,send,.*,sampled,' "$T/csv") == 1" "$(cat "$T/csv")"
		if [ "$without" = bpf ]; then
			flood_until "samples_of rx_softirq" 200 -c -m sample
			check "without $without: what polls is named in the device's place" \
				"$(field device all 'process_backlog()' 6) > 0.5 * $(ns all rx_softirq) && $(field device all 'process_backlog()' 6) <= $(ns all rx_softirq)" "$(grep -e ,device, -e event,all "$T/csv")"
		fi
		exits 3 'lets .* not be traced\|refuses eBPF' "without $without: -m trace is refused, and says what is not traced" "netto -m trace 0.1"
	done
	NETTO_WITHOUT=$before
}

# Neither eBPF nor perf events: from /proc, which is read before and after netto, and by its command: between these it must be.
# Each CPU's line is read, as netto does: that of all CPUs is rounded down to 10 ms for itself.
test_accounts() {
	softirq_ticks="awk '/^cpu[0-9]/ { s += \$8 } END { print s }' /proc/stat"
	start_flood
	before=$(sh -c "$softirq_ticks")
	NETTO_WITHOUT="bpf perf" "$NETTO" -c -o "$T/csv" -- sh -c "$softirq_ticks; sleep 3; $softirq_ticks" >"$T/load" 2>"$T/err"
	status=$?
	most=$((($(sh -c "$softirq_ticks") - before) * 10000000))
	stop_flood
	least=$(awk 'NR == 1 { a = $1 } NR == 2 { print ($1 - a) * 10000000 }' "$T/load")
	network=$(awk -F, '$3 == "thread" && $5 !~ /^(ksoftirqd|irq)/ { s += $6 } END { print s + 0 }' "$T/csv")
	check "without bpf and perf: net is what /proc/stat has of softirqs" \
		"$status == 0 && $(ns all net) >= $least && $(ns all net) <= $most + $network && $least > 0 &&
		 $(grep -c ',event,[0-9a-z]*,net,.*,accounted,' "$T/csv") == $(nproc) + 1" "$least, $most, $network: $(grep -e event, -e thread "$T/csv")"
	check "without bpf and perf: net, other and idle are all of the time" \
		"$(awk -F, '$3 == "event" && $6 != "" { sum[$4] += $7 } END { for (c in sum) if (sum[c] < 99.99 || sum[c] > 100.01) print c }' "$T/csv" | wc -l) == 0 &&
		 $(awk -F, '$3 == "event" && $6 != "" { print $5 }' "$T/csv" | sort -u | wc -l) == 3" "$(grep event, "$T/csv")"
	check "without bpf and perf: what would give more" "$(grep -c CONFIG_KERNEL_BPF_EVENTS "$T/err") == 1" "$(cat "$T/err")"
	for option in "-m trace" "-m sample" -f; do
		# shellcheck disable=SC2086 # words
		NETTO_WITHOUT="bpf perf" "$NETTO" $option 0.1 >"$T/out" 2>"$T/err"
		check "without bpf and perf: $option is refused" "$? == 3 && $(wc -c <"$T/out") == 0" "$(cat "$T/out" "$T/err")"
	done
}

# --- The kernel's own figures, intervals ---

stat_ns() { # idle and stolen time of all CPUs
	awk '/^cpu / { printf "%.0f %.0f\n", ($5 + $6) * 1e7, $9 * 1e7 }' /proc/stat
}

# In ticks of 10 ms, of which each CPU has a part that is not over.
test_stat() {
	slack=$((20000000 * $(getconf _NPROCESSORS_ONLN)))
	COUNTER=stat_ns MODE=sample measure sleep 1
	check "sample mode: idle is what /proc/stat has ($(counted 1) to $(counted_most 1) ns)" \
		"$(ns all idle) >= $(counted 1) - $slack && $(ns all idle) <= $(counted_most 1) + $slack" "$(ns all idle)"
	check "steal is what /proc/stat has ($(counted 2) to $(counted_most 2) ns)" \
		"$(run_row steal 6) >= $(counted 2) && $(run_row steal 6) <= $(counted_most 2)" "$(run_row steal 6)"
}

test_intervals() {
	with_netto -c 0.4 5
	check "5 intervals: 5 reports, one header" \
		"$(grep -c ,elapsed, "$T/csv") == 5 && $(grep -c ^time, "$T/csv") == 1" "$(cat "$T/csv")"
	conserved "5 intervals"
	check "13 fields in each row" "$(awk -F, 'NF != 13' "$T/csv" | wc -l) == 0" "$(awk -F, 'NF != 13' "$T/csv")"
	with_netto 0.2 2
	check "text: the same number of fields in each row of the table" \
		"$(awk '/^ CPU +net / { table = 1 } !NF { table = 0 } table { n[NF] } END { for (i in n) c++; print c }' "$T/csv") == 1" "$(cat "$T/csv")"
}

# --- Signals ---

test_signals() {
	for signal in INT TERM HUP; do
		start_netto 600
		kill -$signal "$netto"
		wait "$netto"
		check "SIG$signal: a report of what was measured, exit status 0" "$? == 0 && $(grep -c '^ all' "$T/csv") == 1" \
			"$(cat "$T/csv" "$T/err")"
	done
	start_netto 0.3 0
	wait_for sh -c "[ \$(grep -c '^ all' '$T/csv') -ge 3 ]"
	kill -INT "$netto"
	wait "$netto"
	check "COUNT 0: until interrupted" "$? == 0 && $(grep -c '^ all' "$T/csv") >= 4" "$(cat "$T/csv")"
	: >"$T/err"
	sh -c "trap '' HUP; exec $NETTO -cv 600" >"$T/csv" 2>"$T/err" &
	netto=$!
	wait_for is_measuring
	kill -HUP $netto
	sleep 0.5
	kill -0 $netto
	check "nohup is respected" "$? == 0" "$(cat "$T/csv" "$T/err")"
	stop_netto
}

# ends WHO: true if that process ends; a child is then a zombie. The limit is only for what hangs.
ends() {
	for _ in $(seq 100); do
		case $(sed 's/.*) //; s/ .*//' "/proc/$1/stat" 2>/dev/null) in
		'' | Z) return 0 ;;
		esac
		sleep 0.1
	done
	return 1
}

# Whether netto ends by the signals: 1 or 0; it is killed if it does not.
ended_by() { # SIGNAL...
	for signal; do
		kill "-$signal" "$netto"
		sleep 0.3
	done
	if ends "$netto"; then
		echo 1
	else
		kill -KILL "$netto"
		echo 0
	fi
}

# A reader that takes nothing until there is the file "go".
stall() {
	rm -f "$T/fifo" "$T/go"
	mkfifo "$T/fifo"
	sh -c "until [ -e '$T/go' ]; do sleep 0.1; done; cat" <"$T/fifo" >"$T/csv" &
	reader=$!
	"$NETTO" -c -s 1000 0.2 0 >"$T/fifo" 2>"$T/err" &
	netto=$!
	wait_for sh -c "grep -q pipe_write /proc/$netto/wchan || ! kill -0 $netto 2>/dev/null"
}

test_stalled_reader() {
	stall
	check "a reader that stalls: a second signal ends netto at once" "$(ended_by TERM TERM) == 1" "$(cat "$T/err")"
	touch "$T/go"
	wait $reader
	stall
	kill -TERM "$netto"
	sleep 0.5
	kill -0 "$netto"
	check "a reader that stalls: the first signal leaves the report whole" "$? == 0" "$(cat "$T/err")"
	touch "$T/go"
	wait "$netto"
	status=$?
	wait $reader
	check "a reader that stalls: then netto ends, with exit status 0" \
		"$status == 0 && $(grep -c ,elapsed, "$T/csv") == $(grep -c 'hook/idle=' "$T/csv")" "$(tail -n 2 "$T/csv")"
	conserved "a reader that stalls"
}

test_io_workers() {
	"$LOAD" uring_worker udp4 100000000 >"$T/load" 2>&1 &
	pid=$!
	for seconds in 1 2 4 8 16 32; do
		with_netto -c $seconds
		[ "$(samples_of send)" -lt 100 ] || break
		kill -0 $pid 2>/dev/null || break
	done
	kill $pid 2>/dev/null
	wait $pid 2>/dev/null
	if [ $? = 77 ]; then
		skip "sends by io_uring's workers" "$(tail -n 1 "$T/load")"
	else
		check "sends by io_uring's workers are sends" "$(stage_total send/udp_tx) > 0 && $(samples_of send) >= 100" \
			"$(grep -e event,all -e stage,all "$T/csv")"
	fi
}

test_short_intervals() {
	taskset -c 0 "$LOAD" burn 600 0 >/dev/null &
	burner=$!
	: >"$T/err"
	taskset -c 0 nice -n 10 "$NETTO" -cv -F 10000 -t 100 -s 1000 0.001 0 >/dev/null 2>"$T/err" &
	netto=$!
	wait_for is_measuring
	sleep 1
	check "intervals shorter than their report: a signal ends netto" "$(ended_by TERM) == 1" "$(tail -n 3 "$T/err")"
	kill $burner
	wait 2>/dev/null
}

test_stopped() {
	start_netto -c -F 0 0.3 0
	wait_for grep -q ,elapsed, "$T/csv"
	kill -STOP "$netto"
	sleep 2
	kill -CONT "$netto"
	reports=$(grep -c ,elapsed, "$T/csv")
	wait_for sh -c "[ \$(grep -c ,elapsed, '$T/csv') -ge $((reports + 4)) ]"
	stop_netto
	conserved "stopped and continued"
	check "stopped and continued: one long interval" "$(awk -F, '$5 == "elapsed" && $6 > 1.9e9' "$T/csv" | wc -l) >= 1" "$(grep elapsed "$T/csv")"
	check "stopped and continued: what was not kept is not made up for in a burst" \
		"$(grep ,elapsed, "$T/csv" | sed '$d' | awk -F, 'n { took += $6; least += 0.3e9 } $6 > 1.9e9 { n++ } END { print (n && took > least - 1e6) }') == 1" \
		"$(grep elapsed "$T/csv")"
}

# While it starts, which takes as long as nobody reads: opening a FIFO waits for that.
test_signal_at_start() {
	for signal in INT TERM HUP; do
		rm -f "$T/fifo"
		mkfifo "$T/fifo"
		: >"$T/err"
		env --default-signal=INT,TERM,HUP "$NETTO" -o "$T/fifo" 5 >"$T/out" 2>"$T/err" &
		netto=$!
		wait_for grep -q 'SigCgt:.*4003$' "/proc/$netto/status"
		kill -$signal "$netto"
		ends "$netto" || kill -KILL "$netto"
		wait "$netto"
		check "SIG$signal while it starts: it ends, says so, and there is no report" \
			"$? == 0 && $(wc -c <"$T/out") == 0 && $(grep -c '^netto: ended before anything was measured$' "$T/err") == 1" "$(cat "$T/err")"
	done
}

# --- netto -- COMMAND: its status, its streams, its signals ---

test_command() {
	"$NETTO" -c -F 0 -- sh -c 'sleep 0.3; echo of the command; cat; echo err >&2; exit 7' <<-END >"$T/out" 2>"$T/err"
		from stdin
	END
	check "-- COMMAND: its exit status is passed on" "$? == 7"
	check "-- COMMAND: its output comes first, then the report" \
		"$(sed -n 1p "$T/out" | grep -c '^of the command$') == 1 && $(sed -n 2p "$T/out" | grep -c '^from stdin$') == 1 &&
		 $(sed -n 3p "$T/out" | grep -c '^time,host,') == 1 && $(grep -c . "$T/err") == 1" "$(cat "$T/out" "$T/err")"
	sed 1,2d "$T/out" >"$T/csv"
	conserved "-- COMMAND"
	check "-- COMMAND: it is measured as long as it ran" "$(run_row elapsed 6) > 3e8" "$(run_row elapsed 6)"
	"$NETTO" -c -F 0 -o "$T/csv" -- echo of the command >"$T/out" 2>"$T/err"
	check "-o: the report goes to the file, the command's output does not" \
		"$? == 0 && $(wc -l <"$T/out") == 1 && $(grep -c ,elapsed, "$T/csv") == 1 && $(grep -c 'of the command' "$T/csv") == 0" \
		"$(cat "$T/out" "$T/err")"
	exits 127 'cannot run .*No such file' "-- COMMAND: one that is not there: 127, and no report" "netto -F 0 -- $T/none"
	exits 126 'cannot run .*denied' "-- COMMAND: one that cannot be run: 126" "netto -F 0 -- $T"
	"$NETTO" -F 0 -- sh -c 'kill -KILL $$' >"$T/out" 2>"$T/err"
	check "-- COMMAND: one that a signal kills: 128 and its number, with a report" "$? == 137 && $(grep -c '^ all' "$T/out") == 1" \
		"$(cat "$T/out" "$T/err")"
	# Signals are the command's, which may go on for a while.
	for signal in INT TERM HUP USR1; do
		: >"$T/out" # not by the child, which may be late: the last one's would be read
		# jobs in the background ignore SIGINT, and no trap helps
		env --default-signal=INT "$NETTO" -v -F 0 -- sh -c "trap 'echo got $signal; sleep 0.3; exit 5' $signal; echo ready; while :; do sleep 0.1; done" >"$T/out" 2>"$T/err" &
		netto=$!
		wait_for grep -q ready "$T/out"
		kill -$signal "$netto"
		wait "$netto"
		check "-- COMMAND: SIG$signal is the command's, and what it did is reported" \
			"$? == 5 && $(grep -c "^got $signal" "$T/out") == 1 && $(grep -c '^ all' "$T/out") == 1" "$(cat "$T/out" "$T/err")"
	done
	# A second signal ends netto, and nothing that it started outlives it.
	for signal in INT KILL; do
		: >"$T/out"
		"$NETTO" -v -F 0 -- sh -c "trap '' INT; echo ready; exec sleep 61" >"$T/out" 2>"$T/err" &
		netto=$!
		wait_for grep -q ready "$T/out"
		wait_for pgrep -f '^sleep 61$' >/dev/null
		kill -$signal "$netto"
		while kill -$signal "$netto" 2>/dev/null; do # two that come at once may be one
			sleep 0.3
		done
		wait "$netto" 2>/dev/null
		status=$?
		wait_for sh -c "! pgrep -f '^sleep 61$' >/dev/null"
		check "-- COMMAND: a second SIG$signal ends it at once, and the command with it" \
			"$status > 128 && $(pgrep -fc '^sleep 61$') == 0 && $(wc -l <"$T/out") == 1" "$status, $(cat "$T/out" "$T/err")"
	done
	NETTO_WITHOUT='bpf perf' "$NETTO" -- sh -c 'echo ran; exit 4' >"$T/out" 2>"$T/err"
	check "-- COMMAND: where only the kernel accounts, its status all the same" "$? == 4 && $(grep -c '^ran' "$T/out") == 1" \
		"$(cat "$T/out" "$T/err")"
	"$NETTO" -F 0 -o "$T/text" -- grep -h -e CapEff -e SigBlk -e SigIgn /proc/self/status >"$T/out"
	grep -h -e CapEff -e SigBlk -e SigIgn /proc/self/status >"$T/own"
	check "-- COMMAND: it has all capabilities and signals that netto was given" "$(cmp "$T/out" "$T/own" && echo 1 || echo 0)" \
		"$(cat "$T/out" "$T/own")"
}

# --- Output, messages, what is left behind ---

test_output() {
	for bad in "0" "-1" "1 x" "1 2 3" "1e3" "-- " "5 -- true" "-c -f -- true" "-t x -- true"; do
		exits 2 '' "bad usage ($bad): exit status 2, one line on stderr" "netto $bad"
	done
	while IFS=: read -r bad says; do
		exits 2 "$says: --help says more$" "bad usage ($bad): $says" "netto $bad"
	done <<-'END'
		--nope:unknown option '--nope'
		5 -F:option '-F' needs a value
		--csv -xc:unknown option '-x'
		--f:ambiguous option '--f'
		--csv=1:option '--csv' takes no value
	END
	while IFS=: read -r what says command; do
		exits 1 "$says" "$what: exit status 1" "$command"
	done <<-END
		a full disk:cannot write the report. No space:netto 0.1 >/dev/full
		--help on a full disk:No space:netto --help >/dev/full
		no stdout:cannot write the report:netto -c 0.1 >&-
		-o, where nothing can be written:.:netto -F 0 -o $T 0.1
		-o, a full disk:No space:netto -F 0 -o /dev/full 0.1
		-o, too large a file:File too large:ulimit -f 1; netto -c -o $T/text 0.1
		12 files, and what to raise:RLIMIT_NOFILE:prlimit --nofile=12 netto 0.1
		a command, which is not run then:RLIMIT_NOFILE:prlimit --nofile=12 netto -- echo ran
	END
	{ "$NETTO" 0.3 2>"$T/err"; echo $? >"$T/status"; } | true
	check "a closed pipe is exit status 1" "$(cat "$T/status") == 1 && $(grep -c 'Broken pipe' "$T/err") == 1" "$(cat "$T/err")"
	with_netto -c 0.1
	check "stderr is empty when nothing is wrong, but for a host so slow that samples would take too much" \
		"$(grep -vc 'netto: samples are taken at .* more could take over 10 % of a CPU' "$T/err") == 0" "$(cat "$T/err")"
	setpriv --reuid 65534 --clear-groups "$NETTO" -c 1 >"$T/csv" 2>"$T/err"
	check "not root: the kernel's accounts, and what would give more" \
		"$? == 0 && $(grep -c 'run it as root' "$T/err") == 1 && $(grep -c ',packet,all,processed,,,[0-9]' "$T/csv") == 1 &&
		 $(grep -c ',event,all,net,.*,accounted,' "$T/csv") == 1" "$(cat "$T/err")"
	echo old >"$T/out"
	start_netto -F 0 -o "$T/out" 600
	kill -KILL $netto
	wait $netto 2>/dev/null
	check "-o: a file keeps what it has until there is a report" "$(grep -c '^old$' "$T/out") == 1" "$(cat "$T/out")"
	seq 100000 >"$T/out"
	"$NETTO" -c -F 0 -o "$T/out" 0.1
	check "-o: and then has nothing else" "$? == 0 && $(awk -F, 'NF != 13' "$T/out" | wc -l) == 0" "$(tail -n 2 "$T/out")"
	"$NETTO" -c 0.1 >"$T/csv" <&- 2>&-
	check "no stdin and no stderr: the report, and nothing else in it" "$? == 0 && $(awk -F, 'NF != 13' "$T/csv" | wc -l) == 0" "$(cat "$T/csv")"
}

# What the process or the machine has too little of is said as that, and netto does what it can.
test_limits() {
	prlimit --nofile=12: "$NETTO" -c 0.1 >"$T/csv" 2>"$T/err"
	check "a soft limit of 12 files: it is raised" "$? == 0 && $(wc -l <"$T/err") == 0 && $(hooked rx_softirq tp_btf) == 1" "$(cat "$T/err")"
	NETTO_WITHOUT="$NETTO_WITHOUT memory" with_netto -c 0.3
	check "no memory for the table of stacks: a smaller one, and it is said" \
		"$(grep -c 'no memory for the table of stacks: now for [1-9]' "$T/err") >= 1 && $(hooked rx_softirq tp_btf) == 1 && $(hooked samples perf_event) == 1" "$(cat "$T/err")"
	NETTO_WITHOUT="$NETTO_WITHOUT bpf" unshare -T -f --monotonic 100000 "$NETTO" -c 1 >"$T/csv" 2>"$T/err"
	check "in a time namespace, without eBPF: samples" "$? == 0 && $(run_row samples 8) > 0" "$(cat "$T/err")"
	unshare -Ur "$NETTO" 0.1 >"$T/out" 2>"$T/err"
	check "in a user namespace: the kernel's accounts, and that is why" "$? == 0 && $(grep -c 'in a user namespace' "$T/err") == 1" "$(cat "$T/err")"
}

# The time left, on a terminal alone, and not in a short run or with a command.
test_progress() {
	on_terminal() { # COMMAND: what its stderr shows
		script -qec "$1" "$T/typescript" >/dev/null </dev/null
		tr '\r' '\n' <"$T/typescript" >"$T/shown"
		grep -c 's left' "$T/shown"
	}
	check "a run of 2.5 s tells on a terminal what is left" "$(on_terminal "$NETTO -F 0 2.5 >/dev/null") >= 1" "$(cat "$T/shown")"
	check "it counts down, and clears the line" "$(awk '
		/^netto: [0-9]+ s left/ { if ($2 >= last && last || $2 > 3) bad++; last = $2; left++ }
		/^ +$/ { cleared++ }
		END { print (left > 0 && cleared >= left && !bad) }' "$T/shown")" "$(cat "$T/shown")"
	check "none on a terminal that is too narrow for it" "$(on_terminal "stty cols 20; $NETTO -F 0 2.5 >/dev/null") == 0" "$(cat "$T/shown")"
	check "none in a run of 1 s" "$(on_terminal "$NETTO -F 0 1 >/dev/null") == 0" "$(cat "$T/shown")"
	check "none with a command" "$(on_terminal "$NETTO -F 0 -- sleep 2.5 >/dev/null") == 0" "$(cat "$T/shown")"
	"$NETTO" -F 0 2.5 >"$T/out" 2>"$T/err"
	check "none where stderr is no terminal" "$(wc -c <"$T/err") == 0" "$(cat "$T/err")"
}

# Two packages, one of whose counters wraps, and parts that do not count, in a /sys/class that this makes up.
test_energy() {
	cat >"$T/energy" <<-'END'
		mount -t tmpfs none /sys/class || exit 77
		zone() { # NUMBER NAME START
			mkdir -p "/sys/class/powercap/intel-rapl:$1"
			echo "$2" >"/sys/class/powercap/intel-rapl:$1/name"
			echo 262143328850 >"/sys/class/powercap/intel-rapl:$1/max_energy_range_uj"
			echo "$3" >"/sys/class/powercap/intel-rapl:$1/energy_uj"
		}
		zone 0 package-0 1000000
		zone 1 psys 5000000
		zone 2 package-1 262143000000
		: >"$2/measuring"
		# Within netto's time: 7 J of one package, and 11 J of the other, whose counter wraps.
		"$1" -c -F 0 -o "$2/csv" -- sh -c "
			echo 8000000 >/sys/class/powercap/intel-rapl:0/energy_uj
			echo 90000000 >/sys/class/powercap/intel-rapl:1/energy_uj
			echo $((262143000000 + 11000000 - 262143328850)) >/sys/class/powercap/intel-rapl:2/energy_uj
			sleep 1"
		"$1" -l -F 0 0.5 >"$2/text"
	END
	start_flood
	unshare -m sh "$T/energy" "$NETTO" "$T" 2>"$T/err"
	status=$?
	stop_flood
	if [ $status = 77 ]; then
		skip "energy" "cannot mount anything here: $(cat "$T/err")"
		return
	fi
	joules=$(run_row package_energy_uj 8)
	share=$(awk -F, '$3 == "event" && $4 == "all" && $5 == "net" { print $7 }' "$T/csv")
	check "energy: the packages used 7 and 11 J" "$joules == 18000000" "$(grep energy "$T/csv")"
	check "energy: $(run_row net_power_mw 8) mW are the share of net ($share %)" \
		"($(run_row net_power_mw 8) - $joules / 1e3 / ($(run_row elapsed 6) / 1e9) * $share / 100) ^ 2 < 4 && $share > 0" "$(cat "$T/csv")"
	check "energy: in the last line of the text" "$(tail -n 1 "$T/text" | grep -c "; power [0-9.]* W, net's share [0-9.]* W$") == 1" "$(tail -n 1 "$T/text")"
}

# The kernel frees programs and maps some time after their last user: those of an earlier netto may still be there.
loaded() { # netto's programs and maps that are newer than the newest ones of all before
	{
		bpftool prog | awk -F: -v newest="$newest_prog" '/netto/ && $1 > newest'
		bpftool map | awk -F: -v newest="$newest_map" '/netto/ && $1 > newest'
	} | wc -l
}

newest() { # prog|map: its number
	bpftool "$1" | awk -F: '/^[0-9]+: / { id = $1 } END { print id + 0 }'
}

is_nothing_loaded() {
	[ "$(loaded)" = 0 ]
}

test_nothing_stays() {
	newest_prog=$(newest prog) newest_map=$(newest map)
	start_netto 600
	check "its programs are recognised in bpftool" "$(loaded) >= 4" "$(bpftool prog)"
	caps=$(awk '/CapEff/ { print $2 }' "/proc/$netto/status")
	check "capabilities are dropped but CAP_BPF ($caps)" "$((0x$caps)) == $((1 << 39))"
	kill -KILL "$netto"
	wait "$netto" 2>/dev/null
	wait_for is_nothing_loaded
	check "SIGKILL: nothing stays loaded" "$(loaded) == 0" "$(bpftool prog | grep netto)"
}

# At most 16 MB and 1 MB a CPU for the stacks: the peak of the whole process, its report included.
test_memory() {
	start_flood
	"$LOAD" peak "$NETTO" -c -t 10 3 >"$T/out" 2>"$T/peak"
	stop_flood
	peak=$(sed -n 's/^peak_kb=//p' "$T/peak")
	check "memory: at most 16 MB at the peak, and 1 MB a CPU for stacks ($peak kB)" "${peak:-0} > 0 && ${peak:-0} <= 16384 + 1024 * $(getconf _NPROCESSORS_ONLN)" "$(cat "$T/peak")"
}

trap restore_sysctls EXIT
shift
[ $# -gt 0 ] || set -- samples sample_limits folded without accounts stat intervals signals signal_at_start \
	stalled_reader io_workers short_intervals stopped command output limits progress energy nothing_stays memory
for name; do
	test_"$name"
done
