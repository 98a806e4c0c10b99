# shellcheck shell=sh
# Stack samples: what must hold of them anywhere. For host.sh and guest.sh, after lib.sh.

# Of each CPU and event: the stages' own time and samples sum to those of the event, and intervals hold what they are
# about. Samples of which no stage is known are below 2 %.
shared_out() { # WHAT
	seen=$(awk -F, '
		$3 == "event" { ns[$1, $4, $5] = $6; most[$1, $4, $5] = $10 != "" ? $10 : $6; next }
		$3 != "stage" && $3 != "activity" && $3 != "stack" { next }
		{
			event = $5
			sub("[/;].*", "", event)
			if ($9 > $6 || $10 < $6 || $10 > most[$1, $4, event] + 1 || $12 != "sampled")
				print "absurd: " $0
		}
		$3 == "stage" {
			self[$1, $4, event] += $6
			stages[$1, $4, event]++
			n[$4] += $8
			if ($11 < $6 - 1 || $11 > ns[$1, $4, event] + 1)
				print "absurd total: " $0
		}
		END {
			for (i in self) {
				off = self[i] - ns[i]
				if (off * off > stages[i] * stages[i])
					print i ": stages sum to " self[i] " of " ns[i] " ns"
			}
			if (n["all"] < 20)
				print n["all"] + 0 " samples"
			for (i in n)
				sum += n[i]
			if (sum != 2 * n["all"])
				print "CPUs sum to " sum - n["all"] " of " n["all"] " samples"
		}' "$T/csv")
	check "stages share out each event: $1" "$(echo "$seen" | grep -c .) == 0" "$seen"
	check "stages of less than 2 % of the samples are unknown: $1" \
		"$(run_row samples_unknown 8) < 0.02 * $(run_row samples 8)" \
		"$(run_row samples_unknown 8) of $(run_row samples 8)"
}

with_netto() { # what it printed in $T/csv and $T/err
	"$NETTO" "$@" >"$T/csv" 2>"$T/err" || fail "netto $*" "exit status $?: $(cat "$T/err")"
}

samples_expected() { # HZ: from the time in which samples are taken
	awk -F, -v hz="$1" '$3 == "event" && $4 == "all" && ($5 == "net" || ($5 == "other" && $12 == "sampled")) { ns += $6 }
		END { printf "%.0f", ns * hz / 1e9 }' "$T/csv"
}

# Settings of this machine that a test changes; to be restored, by a trap too.
set_sysctl() { # NAME VALUE
	echo "$1 $(cat "/proc/sys/kernel/$1")" >>"$T/sysctls"
	echo "$2" >"/proc/sys/kernel/$1"
}

restore_sysctls() {
	[ -e "$T/sysctls" ] || return 0
	while read -r name value; do
		echo "$value" >"/proc/sys/kernel/$name"
	done <"$T/sysctls"
	rm "$T/sysctls"
}

# Sender and receiver on one CPU, which is never idle: an idle CPU of an emulated machine is run when its timer wakes it,
# and the sampling timer is one, so what wakes up there is sampled from 0.3 to 1.7 times as often as it should.
start_flood() {
	"$LOAD" udpflood 600 0 0 >"$T/load" 2>&1 &
	flood=$!
	sleep 0.5
}

stop_flood() {
	kill "$flood"
	wait "$flood" 2>/dev/null
}

test_samples() {
	start_flood
	with_netto -c 2
	shared_out "a flood"
	check "no more samples than the traced time gives" \
		"$(run_row samples 8) + $(run_row samples_lost 8) < $(samples_expected 997) * 1.05 + 20 &&
		 $(run_row samples 8) > ${LEAST_SAMPLES:-0.7} * $(samples_expected 997) && $(run_row samples 8) > 100" \
		"$(grep samples "$T/csv"), $(samples_expected 997)"
	check "no sample is lost" "$(run_row samples_lost 8) == 0"
	check "a UDP flood is udp_rx" "$(stage_total rx_softirq/udp_rx) > 0.1 * $(ns all rx_softirq)" \
		"$(grep stage,all "$T/csv")"
	check "stacks: ten, unless told otherwise" "$(grep -c ',stack,all,' "$T/csv") == 10" "$(cat "$T/csv")"
	check "stacks: by samples" "$(awk -F, '$3 == "stack" { if (n && $8 > n) bad++; n = $8 } END { print bad + 0 }' "$T/csv") == 0"

	with_netto -c 0.3 5
	shared_out "intervals"
	# an interval may be late under emulation, and the next one is short then
	check "each interval has samples of its own" \
		"$(awk -F, '
			$3 == "event" && $4 == "all" && $5 == "other" { due = $12 == "sampled" ? $6 * 997e-9 : 0 }
			$3 == "event" && $4 == "all" && $5 == "net" { due += $6 * 997e-9 }
			$5 == "samples" && $8 < due * 1.15 + 20 && ($8 > 0 || due < 20) { n++ }
			END { print n + 0 }' "$T/csv") == 5" "$(grep -e ,net, -e samples "$T/csv")"

	before=${NETTO_WITHOUT-}
	export NETTO_WITHOUT="$before scan"
	with_netto -c -s 0 0.5
	check "no search of stacks that cannot be unwound: samples all the same" "$(run_row samples 8) > 0" "$(cat "$T/csv")"
	export NETTO_WITHOUT="$before room"
	with_netto -c 1
	export NETTO_WITHOUT="$before"
	shared_out "a full table"
	check "a full table: what is lost is counted" \
		"$(run_row samples_lost 8) > 10 && $(run_row samples 8) + $(run_row samples_lost 8) < $(samples_expected 997) * 1.05 + 20" \
		"$(grep samples "$T/csv")"
	stop_flood

	set_sysctl kptr_restrict 2
	with_netto -c 0.2
	"$NETTO" -f 0.2 >"$T/out" 2>"$T/err2"
	folded=$?
	restore_sysctls
	check "-f without samples is exit status 1" "$folded == 1 && $(wc -c <"$T/out") == 0" "$(cat "$T/err2" "$T/out")"
	check "kptr_restrict of 2: no samples, and one line that gives the cure" \
		"$(grep -c 'hook/samples=none:' "$T/csv") == 1 && $(grep -c kernel.kptr_restrict "$T/err") == 1 && $(wc -l <"$T/err") == 1 &&
		 $(ns all idle) > 0" "$(cat "$T/err")"
}

test_sample_options() {
	start_flood
	with_netto -c -F 20000 1
	shared_out "20,000 Hz"
	fast=$(run_row samples 8)
	with_netto -c -s 3 -F 499 1
	shared_out "499 Hz"
	check "more samples at 20,000 Hz than at 499" "$fast > 3 * $(run_row samples 8)" "$fast, $(run_row samples 8)"
	check "-s 3: three stacks" "$(grep -c ',stack,all,' "$T/csv") == 3" "$(grep ,stack, "$T/csv")"
	with_netto -c -s 0 -F 1 1.1
	check "-F 1: a sample a second and CPU at most" "$(run_row samples 8) <= 2 * $(nproc)" "$(run_row samples 8)"
	check "-s 0: no stacks" "$(grep -c ',stack,' "$T/csv") == 0" "$(grep ,stack, "$T/csv")"
	with_netto -c -F 0 0.3
	check "-F 0: no samples, and no rows of them" \
		"$(grep -c -e ',stage,' -e ',activity,' -e ',stack,' -e ,samples "$T/csv") == 0 &&
		 $(grep -c 'hook/samples=none:,' "$T/csv") == 1" "$(cat "$T/csv")"
	with_netto -F 0 0.3
	check "-F 0: text says so" "$(head -n 1 "$T/csv" | grep -c 'no samples$') == 1" "$(head -n 1 "$T/csv")"
	with_netto -c 0.1
	check "0.1 s: it is measured, with what samples are due" \
		"$(run_row elapsed 6) < 300000000 && ($(run_row samples 8) > 0 || $(samples_expected 997) < 20)" "$(cat "$T/csv")"

	with_netto -f 1
	check "-f: folded stacks, the event first" \
		"$(grep -vcE '^(rx_softirq|tx_softirq|recv|send|conn)(;[^ ;]+)* [1-9][0-9]*$' "$T/csv") == 0 &&
		 $(grep -c '^rx_softirq;.*net_rx_action;.*process_backlog' "$T/csv") > 0" "$(cat "$T/csv")"
	check "-f: each stack once" "$(sed 's/ [0-9]*$//' "$T/csv" | sort | uniq -d | grep -c .) == 0" \
		"$(sed 's/ [0-9]*$//' "$T/csv" | sort | uniq -d)"
	with_netto 1
	check "text: stages and stacks" \
		"$(grep -cE '^ +[0-9.]+ +[0-9.]+ +[0-9.]+ +[0-9.]+ +udp_rx$' "$T/csv") >= 1 && $(grep -cE '^[0-9.]+ %, [0-9]+ of the samples, in' "$T/csv") == 10" \
		"$(cat "$T/csv")"

	set_sysctl perf_event_max_sample_rate 5000
	with_netto -F 20000 0.2
	restore_sysctls
	check "more samples than the kernel allows: as many as it does, and one line that says so" \
		"$(grep -c 'at 5000 Hz' "$T/csv") == 1 && $(grep -c 'at 5000 Hz, not 20000' "$T/err") == 1 && $(wc -l <"$T/err") == 1" \
		"$(cat "$T/err" "$T/csv")"
	stop_flood
	sleep 0.5
	with_netto -c 0.5
	check "no traffic: no more samples than are due" "$(run_row samples 8) < $(samples_expected 997) * 1.15 + 20" "$(grep samples "$T/csv")"
	with_netto 0.5
}
