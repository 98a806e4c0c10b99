# shellcheck shell=sh
# README's recipes, as they stand there, by each awk, on reports that netto's printers made (test/golden). $1 = the name of the
# test.
# shellcheck disable=SC2034 # for lib.sh
part=$1
. "$(dirname "$0")/lib.sh"
R=$T/recipes README=$PWD/README.md
rm -rf "$R"
mkdir -p "$R/bin" "$R/same" "$R/calm"

# 1: the first made-up report. 2: conntrack costs twice as much, nft a little more, driver is gone.
sed '/,"a ""b"",c",/,$d' "$(dirname "$0")/golden/csv.txt" >"$R/1"
awk -F, -v OFS=, '
	$5 == "ns_per_packet" { $6 = sprintf("%.1f", 0.9 * $6) }
	$5 ~ "^ns_per_packet/.*/conntrack$" { $6 *= 2; $9 *= 2; $10 *= 2 }
	$5 ~ "^ns_per_packet/.*/nft$" { $6 += 10; $9 += 10; $10 += 10 }
	$5 ~ "^ns_per_packet/.*/driver$" { next }
	{ print }' "$R/1" >"$R/2"
cp "$R/1" "$R/same/1"
cp "$R/1" "$R/same/2"
sed 's/,100.0000,/,80.0000,/' "$R/1" >"$R/calm/1"

# netto: these two in turn. ssh HOST: of that host.
cat >"$R/bin/netto" <<-'END'
	#!/bin/sh
	[ -z "${NETTO_FAILS-}" ] || exit 1
	cat "$REPORTS/$(cat "$REPORTS/next")"
	echo $((3 - $(cat "$REPORTS/next"))) >"$REPORTS/next"
END
cat >"$R/bin/ssh" <<-'END'
	#!/bin/sh
	[ -z "${NETTO_FAILS-}" ] || exit 1
	sed "s/,edge-1,/,$1,/" "$REPORTS/1"
END
chmod +x "$R/bin/netto" "$R/bin/ssh"

# The Nth block of code in the chapter, without its indentation.
recipe() { # N
	sed -n '/^## Recipes/,/^## /p' "$README" | awk -v n="$1" '
		/^    / { if (!inside) block++; inside = 1; if (block == n) print substr($0, 5); next }
		NF { inside = 0 }'
}

# N WHAT STATUS EXPECTED: what it prints, and its exit status. REPORTS: of another directory.
try() {
	reports=${REPORTS-$R}
	echo 1 >"$reports/next"
	seen=$(cd "$R" && recipe "$1" >"$R/recipe" && REPORTS=$reports DIR=$R PATH=$R/bin:$PATH sh "$R/recipe" 2>&1)
	status=$?
	[ "$1" != 2 ] && [ "$1" != 5 ] || seen=$(echo "$seen" | sort) # in awk's order; at once
	if [ "$seen" = "$4" ] && [ $status = "$3" ] && [ -s "$R/recipe" ]; then
		pass "$awk: $2"
	else
		fail "$awk: $2" "exit status $status: $seen"
	fi
}

check "README has 5 recipes" "$(recipe 5 | wc -l) > 0 && $(recipe 6 | wc -l) == 0"
for awk in mawk gawk "busybox awk"; do
	if ! command -v "${awk%% *}" >/dev/null; then
		fail "$awk" "it is not installed"
		continue
	fi
	printf '#!/bin/sh\nexec %s "$@"\n' "$awk" >"$R/bin/awk"
	chmod +x "$R/bin/awk"
	try 1 "the busiest CPU, and its devices" 0 "CPU 3: 100.0000 %
50.0000 %, CPU 3: eth0
10.0000 %, CPU 3: eth0@4026532291
9.0000 %, CPU 0: eth0"
	try 2 "a packet's cost before and after, and the stages that changed" 0 "-1143.5 ns in all: 10291.5 instead of 11435.0
-456.8 ns: rx_softirq/driver
1065.9 ns: rx_softirq/conntrack"
	REPORTS=$R/same try 2 "the same report twice" 0 "0 ns in all: 11435.0 instead of 11435.0"
	try 3 "an alert" 9 "edge-1: CPU 3: 100.0000 %"
	REPORTS=$R/calm try 3 "no alert" 0 ""
	try 4 "a file for Prometheus" 0 ""
	check "$awk: a file for Prometheus: a line for each event of three CPUs, in its format" \
		"$(grep -Ec '^netto_cpu_ratio[{]cpu="[013]",event="[a-z_]+"[}] [01][.][0-9]{6}$' "$R/netto.prom") == 3 * $(grep -c '^[^,]*,[^,]*,event,0,' "$R/1") - 3 &&
		 $(grep -Evc '^netto_cpu_ratio' "$R/netto.prom") == 0 &&
		 $(grep -c '{cpu="0",event="rx_softirq"} 0.142000$' "$R/netto.prom") == 1" "$(cat "$R/netto.prom")"
	try 5 "many hosts" 0 ""
	check "$awk: many hosts: all rows of both, and one header" \
		"$(grep -c '^time,' "$R/all.csv") == 1 && $(grep -c ,edge-1, "$R/all.csv") == $(grep -c ,edge-1, "$R/1") &&
		 $(grep -c ,edge-2, "$R/all.csv") == $(grep -c ,edge-1, "$R/1")" "$(head -n 3 "$R/all.csv")"
	rm -f "$R/netto.prom" "$R/now.csv"
	export NETTO_FAILS=yes
	try 1 "netto fails: no busiest CPU" 0 ""
	try 2 "netto fails: no packets" 1 "no packets in one of them"
	try 3 "netto fails: no alert, and it does not look as if all were well" 1 ""
	try 4 "netto fails: no file for Prometheus" 1 ""
	check "$awk: netto fails: no file for Prometheus is put in place" "$(find "$R" -name netto.prom | wc -l) == 0"
	try 5 "netto fails: the hosts are named" 0 "edge-1: failed
edge-2: failed"
	unset NETTO_FAILS
done
