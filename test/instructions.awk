#!/usr/bin/awk -f
# Of the lines of test/instructions.sh: for each kind of rounds, the instructions of one without netto, and what is added by
# empty programs, by netto, by netto with samples (these on the average: a round rarely meets one), in sample mode with a
# sample a second, and with 997, and by netto with -t. Of ticks of the timer the mean of 100 rounds counts.
($1, $2) in median { next } # the second time without netto
{
	median[$1, $2] = $1 == "tick" ? 100 * $4 : $3
	mean[$1, $2] = $1 == "tick" ? 100 * $4 : $4
}
$2 == "without" { kinds[++n] = $1 }
END {
	for (i = 1; i <= n; i++) {
		k = kinds[i]
		without = median[k, "without"]
		printf "%s %.0f %.0f %.0f %.0f %.0f %.0f %.0f\n", k, without, median[k, "empty"] - without,
			median[k, "trace"] - without, mean[k, "samples"] - mean[k, "without"], median[k, "sampled"] - without,
			mean[k, "sampling"] - mean[k, "without"], median[k, "tasks"] - without
	}
}
