# shellcheck shell=sh
# Conservation under a storm: floods on every CPU, context switches, sends that migrate, a CPU that comes and goes, and a
# real-time task that is throttled. Runs as root in a virtual machine of three CPUs, in busybox's sh; $1 = the name of the
# test, $2 = seconds.
# shellcheck disable=SC2034 # for lib.sh
part=$1
. /lib.sh
UNSEEN=1 # where a CPU is unplugged

repeat() { # COMMAND...: until the storm is over
	while [ -e "$T/storm" ]; do
		"$@" >/dev/null 2>&1
	done
}

hotplug() {
	sleep 2
	echo 0 >/sys/devices/system/cpu/cpu2/online
	sleep 1
	echo 1 >/sys/devices/system/cpu/cpu2/online
}

context_switches() {
	awk '/^ctxt/ { print $2 }' /proc/stat
}

start_netto -c 5 0 # before the storm, and its end after it: to change probes takes minutes in it
: >"$T/storm"
for cpu in 0 1 2; do
	repeat load udpflood 10 $cpu $(((cpu + 1) % 3)) &
	repeat load switches 10 $cpu -10 &
done
repeat load bigsend 3 0 1 &
repeat load burn 7 1 fifo 50 100 7000000 & # throttled: the kernel leaves the others 5 %
repeat hotplug &
before=$(context_switches)
sleep "$2"
after=$(context_switches)
rm "$T/storm"
killall -q load
echo 1 >/sys/devices/system/cpu/cpu2/online
stop_netto
conserved "a storm of $2 s"
intervals=$(rows_with '$5 == "residual"') softirqs=$(count all rx_softirq) sends=$(count all send)
worst=$(awk -F, '$5 == "residual" && $6 > most { most = $6 } END { printf "%.0f", most }' "$T/csv")
check "a storm: $(((after - before) / $2)) context switches a second, $softirqs NET_RX softirqs, $sends sends in $intervals intervals; \
the largest residual is $worst ns; $(run_row unseen 6) ns unseen" \
	"$intervals > 1 && $after - $before > ${LEAST_SWITCHES:-2000} * $2 && $softirqs > 100 * $2 && $sends > 100 * $2 &&
	 $(count all recv) > 10 * $2" "$(grep -c . "$T/csv") rows"
check "a storm: no stage is absurd" \
	"$(rows_with '$3 == "stage" && ($6 < 0 || $9 > $6 || $10 < $6 || $11 < $6 - 1)') == 0"
