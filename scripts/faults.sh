#!/usr/bin/env bash
# Runs the rows of faults at full length, ten minutes each on a quiet machine, and prints
# one line a row. With names, only those. A row that fails prints what went
# wrong, and the script ends with 1.
set -uo pipefail
cd "$(dirname "$0")/.."

export SIAGA_TEST_LONG=1 SIAGA_TEST_POSTGRES=1 SIAGA_TEST_DISK=1 SIAGA_TEST_UPGRADE=1
kills=${KILLS:-500}
writes=${KILL_WRITES:-220} # acknowledged before most of the kills

# name | package | tests | settings
rows="
kill-sqlite|./internal/store/sqlite|TestKill|SIAGA_KILLS=$kills SIAGA_KILL_WRITES=$writes
kill-postgres-node|./internal/store/postgres|TestKill|SIAGA_KILLS=$kills SIAGA_KILL_WRITES=$writes
kill-postgres-server|./internal/store/postgres|TestServerIsKilled|SIAGA_KILLS=$kills SIAGA_KILL_WRITES=$writes
kill-node-http|./e2e|TestKill|SIAGA_KILLS=${NODE_KILLS:-150}
kill-edge|./edge|TestCrashWhileStoring|
kill-edge-counts|./edge|TestLedgerSurvivesCrashes|
kill-edge-verdicts|./e2e|TestVerdictsSurviveKills|
kill-relay|./e2e|TestRelayIsKilled|SIAGA_KILLS=${RELAY_KILLS:-100}
kill-nats|./e2e|TestNATSIsKilled|SIAGA_KILLS=${NATS_KILLS:-100}
pause|./internal/store/postgres|TestPausedNodeCannotFork|
powerloss|./internal/store/sqlite|TestPowerLoss|SIAGA_FAULTS=1000
slowdisk|./internal/store/sqlite|TestSlowAndFailingDisk|
onefailure|./internal/journal|TestEachCallFailsOnce|
diskfull|./internal/store/sqlite|TestFullDisk|
diskfull-edge|./edge|TestFullDisk|
bitrot|./internal/app|TestBitRot|SIAGA_FAULTS=1000
partition|./internal/feed|TestFaults|
rollback|./internal/app|TestRolledBack|
rollback-edge|./internal/feed|TestNodeRestoredFromABackup|
restore|./internal/app|TestBackupAndRestore|
restore-million|./internal/backup|TestRestoreMany|SIAGA_BACKUP_ENTRIES=1000000
clock|./internal/protocol|TestClockJumps|
clock-edge|./internal/feed|TestClocks|
corrupt-edge|./internal/feed|TestDamagedFolder|
upgrade|./e2e|Test(Up)?(Down)?grade|SIAGA_UPGRADE_FROM=all
overload|./e2e|TestOverload|SIAGA_OVERLOAD=120
"
main() {
failed=0
while IFS='|' read -r name package tests settings; do
  [ -n "$name" ] || continue
  if [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; then continue; fi
  begun=$(date +%s)
  out=$(env $settings "${GO:-go}" test -count=1 -v -timeout 20m -run "^($tests)\$" "$package" 2>&1)
  code=$?
  took=$(($(date +%s) - begun))
  if [ $code -ne 0 ] || ! grep -q '^--- PASS' <<<"$out"; then
    failed=1
    echo "row=$name result=FAILED took_s=$took"
    tail -n 30 <<<"$out" >&2
    continue
  fi
  figures=$(grep -oE '(fault=|kills=|harms=|pauses=|full at|at the head after).*' <<<"$out" | tail -n 1 | sed 's/^fault=[a-z]* *//')
  echo "row=$name result=ok ${figures:+$figures }took_s=$took"
done <<<"$rows"
exit $failed
}
main "$@" # read whole before it runs
