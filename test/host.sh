# shellcheck shell=sh
# netto as a command, on this machine, as root: options, streams, signals, samples. Nothing here depends on how fast or how
# quiet the machine is. $1 = host, $2... = some of the functions below, without their test_; all without.
# shellcheck disable=SC2034,SC2086,SC2154 # for lib.sh, and from it; words
part=$1
. "$(dirname "$0")/lib.sh"
UNSEEN=1
export NETTO_WITHOUT=cycles # samples by time can be counted

ran() { # COMMAND...: whatever its exit status, it leaves in $T what with_netto does
	"$@" >"$T/csv" 2>"$T/err"
}

lines() { # FILE PATTERN: how many lines of $T/FILE have it
	grep -c -e "$2" "$T/$1"
}

# Shown, if it fails: what netto said last on stderr, and the lines of its report that have the pattern.
expect() { # WHAT EXPRESSION [PATTERN]
	check "$1" "$2" "$(tail -n 3 "$T/err"; grep -e "${3:-.}" "$T/csv")"
}

# --- Samples ---

samples_of() { # EVENT
	sum_of 8 '$3 == "stage" && $4 == "all" && index($5, "'"$1"'/") == 1'
}

# A timer never fires early, so this is an exact upper bound. There is no lower bound: that depends on how busy the machine is.
check_due() { # WHAT HZ
	due=$(awk -F, -v hz="$2" -v cpus="$(getconf _NPROCESSORS_ONLN)" '
		$5 == "elapsed" { n += cpus * ($6 * hz / 1e9 + 1) }
		END { printf "%d", n }' "$T/csv")
	expect "$1" "$(run_row samples 8) + $(run_row samples_lost 8) <= $due" samples
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
	[ "$number" != folded_samples ] || return 0
	conserved "a flood"
	shared_out "a flood"
}

test_samples() {
	flood_until "samples_of rx_softirq" 200 -c
	expect "a UDP flood is udp_rx, and is sent and received" \
		"$(stage_total rx_softirq/udp_rx) > 0 && $(ns all send) > 0 && $(ns all recv) > 0" stage,all
	check_due "no more samples than are due" 997
	expect "stacks: ten, unless told otherwise, by samples" \
		"$(awk -F, '$3 == "stack" { if (m && $8 > m) bad++; m = $8; n++ } END { print (n == 10 && !bad) }' "$T/csv")" ,stack,
	if [ "$(hooked send fentry)" = 0 ]; then
		expect "operations that are not traced are told from samples, and why/ rows say so" \
			"$(lines csv 'event,all,\(recv\|send\),.*,sampled,') == 2 && $(lines csv 'why/send=not fentry: .') == 1" \
			'event,all\|why/'
		skip "counts of socket operations on this machine" "$(grep why/send= "$T/csv" | cut -d, -f5)"
	fi
	flood_until "samples_of rx_softirq" 20 -c -s 3 -F 499
	expect "-s 3: three stacks" "$(lines csv ,stack,all,) == 3" ,stack,
	check_due "-F 499: no more samples than are due" 499
	with_netto -c -s 0 -F 1 2
	check_due "-F 1: a sample a second and CPU at most" 1
	expect "-s 0: no stacks" "$(lines csv ,stack,) == 0" ,stack,
	with_netto -c -F 0 0.3
	expect "-F 0: no samples, and no rows of them" \
		"$(lines csv ',stage,\|,activity,\|,stack,\|,samples') == 0 && $(lines csv hook/samples=none:,) == 1"
	with_netto -l -F 0 0.3
	expect "-F 0: text says so" "$(head -n 1 "$T/csv" | grep -c 'no samples$') == 1"
	NETTO_WITHOUT="cycles scan" flood_until "samples_of rx_softirq" 20 -c -s 0
	expect "no search of stacks that cannot be unwound: samples all the same" "$(run_row samples 8) > 0"
	NETTO_WITHOUT="cycles room" flood_until "run_row samples_lost 8" 1 -c # there is room for 4 stacks on each CPU
	check_due "a full table: no more samples than are due" 997
	expect "a full table: what is lost is counted" "$(run_row samples_lost 8) > 0 && $(run_row samples 8) > 0" samples
	NETTO_WITHOUT='' flood_until "samples_of rx_softirq" 2 -c
	expect "samples by the clock that this machine has" "$(run_row samples 8) > 0" samples
}

test_sample_limits() {
	set_sysctl kptr_restrict 2
	exits 1 'no samples, and so no stages' "-f without samples is exit status 1" "netto -f 0.2"
	with_netto -c 0.2
	restore_sysctls
	expect "kptr_restrict of 2: no samples, and one line that gives the cure" \
		"$(lines csv hook/samples=none:) == 1 && $(lines err kernel.kptr_restrict) == 1 && $(lines err .) == 1 && $(wall all) > 0"
	set_sysctl perf_event_max_sample_rate 500
	with_netto -l -F 2000 0.2
	restore_sysctls
	expect "more samples than the kernel allows: as many as it does, and one line that says so" \
		"$(lines csv 'at 500 Hz') == 1 && $(lines err 'at 500 Hz, not 2000') == 1 && $(lines err .) == 1"
}

folded_samples() {
	awk '/^rx_softirq;/ { n += $NF } END { print n + 0 }' "$T/csv"
}

# flamegraph.pl takes the folded stacks, and makes a picture of them.
test_folded() {
	events='rx_softirq|tx_softirq|recv|send|conn|hardirq|tcp_work|napi_thread|net_worker|busy_poll|net_other'
	flood_until folded_samples 200 -f
	expect "-f: folded stacks, the event first" "$(grep -vcE "^($events)(;[^ ;]+)* [1-9][0-9]*$" "$T/csv") == 0 &&
		$(lines csv '^rx_softirq;.*net_rx_action;.*process_backlog') > 0"
	sed 's/ [0-9]*$//' "$T/csv" | sort | uniq -d >"$T/twice"
	check "-f: each stack once" "$(wc -l <"$T/twice") == 0" "$(cat "$T/twice")"
	flamegraph=/usr/share/perl5/Devel/NYTProf/flamegraph.pl
	[ -e $flamegraph ] || { skip "flame graph" "there is no $flamegraph here"; return; }
	perl $flamegraph "$T/csv" >"$T/svg" 2>"$T/err"
	expect "flamegraph.pl makes a picture of it" \
		"$(lines svg '</svg>') == 1 && $(lines svg 'rx_softirq (') >= 1 && $(wc -c <"$T/err") == 0"
}

# Operations are told from samples where neither fentry nor kprobes are to be had, and all is where there is no eBPF.
test_without() {
	while IFS=: read -r without softirqs operations; do
		NETTO_WITHOUT="cycles $without"
		flood_until "samples_of send" 20 -c
		expect "without $without: softirqs by $softirqs, operations from samples" \
			"$(hooked rx_softirq "$softirqs") == 1 && $(hooked send "$operations") == 1 && $(ns all send) > 0 &&
			 $(lines csv 'event,all,send,.*,sampled,') == 1" event,all
		exits 3 'lets .* not be traced\|refuses eBPF' "without $without: -m trace is refused, and says what is not traced" \
			"netto -m trace 0.1"
	done <<-END
		fentry kprobe:tp_btf:perf_event
		bpf:perf_ring:perf_ring
	END
	flood_until "samples_of rx_softirq" 200 -c -m sample
	polled=$(field device all 'process_backlog()' 6)
	expect "without bpf: what polls is named in the device's place" \
		"$polled > 0.5 * $(ns all rx_softirq) && $polled <= $(ns all rx_softirq)" ',device,\|event,all'
	NETTO_WITHOUT=cycles
}

# Neither eBPF nor perf events: from /proc, which is read before and after netto, and by its command: between these it must be.
# Each CPU's line is read, as netto does: that of all CPUs is rounded down to 10 ms for itself.
test_accounts() {
	NETTO_WITHOUT="bpf perf"
	softirq_ticks="awk '/^cpu[0-9]/ { s += \$8 } END { print s }' /proc/stat"
	start_flood
	before=$(sh -c "$softirq_ticks")
	"$NETTO" -c -o "$T/csv" -- sh -c "$softirq_ticks; sleep 3; $softirq_ticks" >"$T/load" 2>"$T/err"
	status=$?
	most=$((($(sh -c "$softirq_ticks") - before) * 10000000))
	stop_flood
	least=$(awk '{ ticks = $1 - ticks } END { print ticks * 10000000 }' "$T/load")
	network=$(sum_of 6 '$3 == "thread" && $5 !~ /^(ksoftirqd|irq)/')
	check "without bpf and perf: net is what /proc/stat has of softirqs" \
		"$status == 0 && $(ns all net) >= $least && $(ns all net) <= $most + $network && $least > 0 &&
		 $(lines csv ',event,[0-9a-z]*,net,.*,accounted,') == $(nproc) + 1" \
		"$least, $most, $network: $(grep -e event, -e thread "$T/csv")"
	expect "without bpf and perf: net, other and idle are all of the time" "$(awk -F, '
		$3 == "event" && $6 != "" { sum[$4] += $7; if (!seen[$5]++) events++ }
		END { for (c in sum) if (sum[c] < 99.99 || sum[c] > 100.01) bad++; print (events == 3 && !bad) }' "$T/csv")" event,
	expect "without bpf and perf: what would give more" "$(lines err CONFIG_KERNEL_BPF_EVENTS) == 1"
	for option in "-m trace" "-m sample" -f; do
		ran "$NETTO" $option 0.1
		expect "without bpf and perf: $option is refused" "$? == 3 && $(wc -c <"$T/csv") == 0"
	done
	NETTO_WITHOUT=cycles
}

# --- The kernel's own figures, intervals ---

stat_ns() { # idle and stolen time of all CPUs
	awk '/^cpu / { printf "%.0f %.0f\n", ($5 + $6) * 1e7, $9 * 1e7 }' /proc/stat
}

# In ticks of 10 ms, of which each CPU has a part that is not over.
test_stat() {
	slack=$((20000000 * $(getconf _NPROCESSORS_ONLN)))
	COUNTER=stat_ns MODE=sample measure sleep 1
	expect "sample mode: idle is what /proc/stat has ($(counted 1) to $(counted_most 1) ns)" \
		"$(ns all idle) >= $(counted 1) - $slack && $(ns all idle) <= $(counted_most 1) + $slack" all,idle
	check_counted 2 "steal is what /proc/stat has" "$(run_row steal 6)"
}

test_intervals() {
	with_netto -c 0.4 5
	expect "5 intervals: 5 reports, one header" "$(lines csv ,elapsed,) == 5 && $(lines csv ^time,) == 1"
	check "5 intervals: 13 fields in each row" "$(rows_with 'NF != 13') == 0" "$(awk -F, 'NF != 13' "$T/csv")"
	conserved "5 intervals"
	with_netto 0.2 2
	expect "text: the same number of fields in each row of the table" \
		"$(awk '/^ CPU +net / { table = 1 } !NF { table = 0 } table { print NF }' "$T/csv" | sort -u | wc -l) == 1"
}

# --- Signals ---

test_signals() {
	for signal in INT TERM HUP; do
		start_netto 600
		kill -$signal "$netto"
		wait "$netto"
		expect "SIG$signal: a report of what was measured, exit status 0" "$? == 0 && $(lines csv '^ all') == 1"
	done
	start_netto 0.3 0
	wait_for sh -c "[ \$(grep -c '^ all' '$T/csv') -ge 3 ]"
	stop_netto
	expect "COUNT 0: until interrupted" "$(lines csv '^ all') >= 4"
	trap '' HUP # which netto inherits
	start_netto -c 600
	trap - HUP
	kill -HUP "$netto"
	sleep 0.5
	kill -0 "$netto"
	expect "nohup is respected" "$? == 0"
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
	expect "a reader that stalls: then netto ends, with exit status 0" \
		"$status == 0 && $(lines csv ,elapsed,) == $(lines csv hook/idle=)" ',elapsed,\|hook/idle='
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
	stop $pid 2>/dev/null
	if [ $? = 77 ]; then
		skip "sends by io_uring's workers" "$(tail -n 1 "$T/load")"
	else
		expect "sends by io_uring's workers are sends" "$(stage_total send/udp_tx) > 0 && $(samples_of send) >= 100" \
			'event,all\|stage,all'
	fi
}

slow_netto() {
	exec taskset -c 0 nice -n 10 netto "$@"
}

test_short_intervals() {
	taskset -c 0 "$LOAD" burn 600 0 >/dev/null &
	burner=$!
	NETTO=slow_netto start_netto -c -F 10000 -t 100 -s 1000 0.001 0
	sleep 1
	check "intervals shorter than their report: a signal ends netto" "$(ended_by TERM) == 1" "$(tail -n 3 "$T/err")"
	stop $burner
}

test_stopped() {
	start_netto -c -F 0 0.3 0
	wait_for grep -q ,elapsed, "$T/csv"
	kill -STOP "$netto"
	sleep 2
	kill -CONT "$netto"
	reports=$(lines csv ,elapsed,)
	wait_for sh -c "[ \$(grep -c ,elapsed, '$T/csv') -ge $((reports + 4)) ]"
	stop_netto
	conserved "stopped and continued"
	expect "stopped and continued: one long interval" "$(rows_with '$5 == "elapsed" && $6 > 1.9e9') >= 1" elapsed
	expect "stopped and continued: what was not kept is not made up for in a burst" \
		"$(grep ,elapsed, "$T/csv" | sed '$d' |
		awk -F, 'n { took += $6; least += 0.3e9 } $6 > 1.9e9 { n++ } END { print (n && took > least - 1e6) }')" elapsed
}

# While it starts, which takes as long as nobody reads: opening a FIFO waits for that.
test_signal_at_start() {
	for signal in INT TERM HUP; do
		rm -f "$T/fifo"
		mkfifo "$T/fifo"
		env --default-signal=INT,TERM,HUP "$NETTO" -o "$T/fifo" 5 >"$T/csv" 2>"$T/err" &
		netto=$!
		wait_for grep -q 'SigCgt:.*4003$' "/proc/$netto/status"
		kill -$signal "$netto"
		ends "$netto" || kill -KILL "$netto"
		wait "$netto"
		expect "SIG$signal while it starts: it ends, says so, and there is no report" \
			"$? == 0 && $(wc -c <"$T/csv") == 0 && $(lines err '^netto: ended before anything was measured$') == 1"
	done
}

# --- netto -- COMMAND: its status, its streams, its signals ---

# Until the command has said that it is ready.
start_command() { # COMMAND: a shell's
	: >"$T/csv" # not by the child, which may be late: the last one's would be read
	# jobs in the background ignore SIGINT, and no trap helps
	env --default-signal=INT "$NETTO" -v -F 0 -- sh -c "$1" >"$T/csv" 2>"$T/err" &
	netto=$!
	wait_for grep -q ready "$T/csv"
}

test_command() {
	echo "from stdin" | ran "$NETTO" -c -F 0 -- sh -c 'sleep 0.3; echo of the command; cat; echo err >&2; exit 7'
	expect "-- COMMAND: its exit status is passed on" "$? == 7"
	expect "-- COMMAND: its output comes first, then the report" \
		"$(sed -n 1p "$T/csv" | grep -c '^of the command$') == 1 && $(sed -n 2p "$T/csv" | grep -c '^from stdin$') == 1 &&
		 $(sed -n 3p "$T/csv" | grep -c '^time,host,') == 1 && $(lines err .) == 1"
	sed -i 1,2d "$T/csv"
	conserved "-- COMMAND"
	expect "-- COMMAND: it is measured as long as it ran" "$(run_row elapsed 6) > 3e8" elapsed
	"$NETTO" -c -F 0 -o "$T/csv" -- echo of the command >"$T/out" 2>"$T/err"
	expect "-o: the report goes to the file, the command's output does not" \
		"$? == 0 && $(wc -l <"$T/out") == 1 && $(lines csv ,elapsed,) == 1 && $(lines csv 'of the command') == 0"
	exits 127 'cannot run .*No such file' "-- COMMAND: one that is not there: 127, and no report" "netto -F 0 -- $T/none"
	exits 126 'cannot run .*denied' "-- COMMAND: one that cannot be run: 126" "netto -F 0 -- $T"
	ran "$NETTO" -F 0 -- sh -c 'kill -KILL $$'
	expect "-- COMMAND: one that a signal kills: 128 and its number, with a report" "$? == 137 && $(lines csv '^ all') == 1"
	# Signals are the command's, which may go on for a while.
	for signal in INT TERM HUP USR1; do
		start_command "trap 'echo got $signal; sleep 0.3; exit 5' $signal; echo ready; while :; do sleep 0.1; done"
		kill -$signal "$netto"
		wait "$netto"
		expect "-- COMMAND: SIG$signal is the command's, and what it did is reported" \
			"$? == 5 && $(lines csv "^got $signal") == 1 && $(lines csv '^ all') == 1"
	done
	# A second signal ends netto, and nothing that it started outlives it.
	for signal in INT KILL; do
		start_command "trap '' INT; echo ready; exec sleep 61"
		wait_for pgrep -f '^sleep 61$' >/dev/null
		kill -$signal "$netto"
		while kill -$signal "$netto" 2>/dev/null; do # two that come at once may be one
			sleep 0.3
		done
		wait "$netto" 2>/dev/null
		status=$?
		wait_for sh -c "! pgrep -f '^sleep 61$' >/dev/null"
		expect "-- COMMAND: a second SIG$signal ends it at once, and the command with it" \
			"$status > 128 && $(pgrep -fc '^sleep 61$') == 0 && $(wc -l <"$T/csv") == 1"
	done
	NETTO_WITHOUT='bpf perf' ran "$NETTO" -- sh -c 'echo ran; exit 4'
	expect "-- COMMAND: where only the kernel accounts, its status all the same" "$? == 4 && $(lines csv ^ran) == 1"
	own="grep -h -e CapEff -e SigBlk -e SigIgn /proc/self/status"
	"$NETTO" -F 0 -o "$T/text" -- $own >"$T/out"
	$own | cmp - "$T/out"
	check "-- COMMAND: it has all capabilities and signals that netto was given" "$? == 0" "$(cat "$T/out"; $own)"
}

# --- Output, messages, what is left behind ---

test_output() {
	number="it must be a number from 0.001 to 31622400" whole="it must be a whole number from 0 to 1000000000"
	while IFS='|' read -r bad says; do
		exits 2 "$says$" "bad usage ($bad): $says" "netto $bad"
	done <<-END
		0|SECONDS is '0': $number
		-1|unknown option '-1': --help says more
		1 x|COUNT is 'x': $whole
		1 2 3|too many arguments: '3': --help says more
		1e3|SECONDS is '1e3': $number
		--|COMMAND is missing behind --
		5 -- true|SECONDS and COMMAND exclude each other
		-c -f -- true|-c and -f exclude each other
		-t x -- true|N is 'x': $whole
		--nope|unknown option '--nope': --help says more
		5 -F|option '-F' needs a value: --help says more
		--csv -xc|unknown option '-x': --help says more
		--f|ambiguous option '--f': --help says more
		--csv=1|option '--csv' takes no value: --help says more
	END
	while IFS=: read -r what says command; do
		exits 1 "$says" "$what: exit status 1" "$command"
	done <<-END
		a full disk:cannot write the report. No space:netto -F 0 0.1 >/dev/full
		--help on a full disk:No space:netto --help >/dev/full
		no stdout:cannot write the report:netto -F 0 -c 0.1 >&-
		-o, where nothing can be written:.:netto -F 0 -o $T 0.1
		-o, a full disk:No space:netto -F 0 -o /dev/full 0.1
		-o, too large a file:File too large:ulimit -f 1; netto -F 0 -c -o $T/text 0.1
		12 files, and what to raise:RLIMIT_NOFILE:prlimit --nofile=12 netto 0.1
		a command, which is not run then:RLIMIT_NOFILE:prlimit --nofile=12 netto -- echo ran
	END
	{ "$NETTO" 0.3 2>"$T/err"; echo $? >"$T/status"; } | true
	check "a closed pipe is exit status 1" "$(cat "$T/status") == 1 && $(lines err 'Broken pipe') == 1" "$(cat "$T/err")"
	with_netto -c 0.1
	expect "stderr is empty when nothing is wrong, but for a host so slow that samples would take too much" \
		"$(grep -vc 'take over 10 % of a CPU$' "$T/err") == 0"
	ran setpriv --reuid 65534 --clear-groups "$NETTO" -c 1
	expect "not root: the kernel's accounts, and what would give more" \
		"$? == 0 && $(lines err 'run it as root') == 1 && $(lines csv ',packet,all,processed,,,[0-9]') == 1 &&
		 $(lines csv ',event,all,net,.*,accounted,') == 1"
	echo old >"$T/out"
	start_netto -F 0 -o "$T/out" 600
	kill -KILL "$netto"
	wait "$netto" 2>/dev/null
	check "-o: a file keeps what it has until there is a report" "$(lines out '^old$') == 1" "$(cat "$T/out")"
	seq 100000 >"$T/csv"
	"$NETTO" -c -F 0 -o "$T/csv" 0.1
	expect "-o: and then has nothing else" "$? == 0 && $(rows_with 'NF != 13') == 0"
	"$NETTO" -c 0.1 >"$T/csv" <&- 2>&-
	expect "no stdin and no stderr: the report, and nothing else in it" "$? == 0 && $(rows_with 'NF != 13') == 0"
}

# What the process or the machine has too little of is said as that, and netto does what it can.
test_limits() {
	ran prlimit --nofile=12: "$NETTO" -c 0.1
	expect "a soft limit of 12 files: it is raised" "$? == 0 && $(lines err '') == 0 && $(hooked rx_softirq tp_btf) == 1"
	NETTO_WITHOUT="cycles memory" with_netto -c 0.3
	expect "no memory for the table of stacks: a smaller one, and it is said" \
		"$(lines err 'no memory for the table of stacks: now for [1-9]') >= 1 && $(hooked rx_softirq tp_btf) == 1 &&
		 $(hooked samples perf_event) == 1" hook/
	NETTO_WITHOUT="cycles bpf" ran unshare -T -f --monotonic 100000 "$NETTO" -c 1
	expect "in a time namespace, without eBPF: samples" "$? == 0 && $(run_row samples 8) > 0" samples
	ran unshare -Ur "$NETTO" 0.1
	expect "in a user namespace: the kernel's accounts, and that is why" "$? == 0 && $(lines err 'in a user namespace') == 1"
}

# The time left, on a terminal alone, and not in a short run or with a command.
test_progress() {
	while IFS='|' read -r what left command; do
		script -qec "$command >/dev/null" "$T/typescript" >/dev/null </dev/null
		tr '\r' '\n' <"$T/typescript" >"$T/shown"
		check "$what" "$(lines shown 's left') $left" "$(cat "$T/shown")"
	done <<-END
		none on a terminal that is too narrow for it|== 0|stty cols 20; netto -F 0 2.5
		none in a run of 1 s|== 0|netto -F 0 1
		none with a command|== 0|netto -F 0 -- sleep 2.5
		a run of 2.5 s tells on a terminal what is left|>= 1|netto -F 0 2.5
	END
	check "it counts down, and clears the line" "$(awk '
		/^netto: [0-9]+ s left/ { if ($2 >= last && last || $2 > 3) bad++; last = $2; left++ }
		/^ +$/ { cleared++ }
		END { print (left > 0 && cleared >= left && !bad) }' "$T/shown")" "$(cat "$T/shown")"
	with_netto -F 0 2.5
	expect "none where stderr is no terminal" "$(wc -c <"$T/err") == 0"
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
	[ $status != 77 ] || { skip "energy" "cannot mount anything here: $(cat "$T/err")"; return; }
	joules=$(run_row package_energy_uj 8)
	mw=$(run_row net_power_mw 8)
	share=$(awk -F, '$3 == "event" && $4 == "all" && $5 == "net" { print $7 }' "$T/csv")
	expect "energy: the packages used 7 and 11 J" "$joules == 18000000" energy
	expect "energy: $mw mW are the share of net ($share %)" \
		"($mw - $joules / 1e3 / ($(run_row elapsed 6) / 1e9) * $share / 100) ^ 2 < 4 && $share > 0" 'power\|elapsed'
	last=$(tail -n 1 "$T/text")
	check "energy: in the last line of the text" \
		"$(echo "$last" | grep -c "; power [0-9.]* W, net's share [0-9.]* W$") == 1" "$last"
}

of_netto() { # its programs and maps, by their numbers, which are never given again
	for kind in prog map; do
		bpftool $kind | sed -n "s/^\([0-9]*\): .*netto.*/$kind \1/p"
	done | sort
}

# The kernel frees programs and maps some time after their last user: those of an earlier netto may still be there.
loaded() { # how many more than before
	of_netto | comm -13 "$T/before" - | wc -l
}

is_nothing_loaded() {
	[ "$(loaded)" = 0 ]
}

test_nothing_stays() {
	of_netto >"$T/before"
	start_netto 600
	check "its programs are recognised in bpftool" "$(loaded) >= 4" "$(bpftool prog)"
	caps=$(awk '/CapEff/ { print $2 }' "/proc/$netto/status")
	check "capabilities are dropped but CAP_BPF ($caps)" "$((0x$caps)) == $((1 << 39))"
	kill -KILL "$netto"
	wait "$netto" 2>/dev/null
	wait_for is_nothing_loaded
	check "SIGKILL: nothing stays loaded" "$(loaded) == 0" "$(bpftool prog | grep netto)"
}

test_memory() {
	start_flood
	check_peak memory -c -t 10 3
	stop_flood || :
}

trap restore_sysctls EXIT
shift
# shellcheck disable=SC2046 # words
[ $# -gt 0 ] || set -- $(sed -n 's/^test_\(.*\)() {/\1/p' "$0")
for name; do
	test_"$name"
done
