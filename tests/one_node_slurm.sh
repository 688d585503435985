#!/usr/bin/env bash
# A real Slurm of one node, for tests: one_node_slurm.sh start <folder> <port> | one_node_slurm.sh stop <folder>
# Run it as root with Debian's slurm-wlm and munge. Commands of Slurm find it by SLURM_CONF=<folder>/slurm.conf.
set -eu
folder=$(mkdir -p "$2" && cd "$2" && pwd)
export SLURM_CONF="$folder/slurm.conf"

if [[ $1 == stop ]]; then
    for pid in "$folder"/{slurmd,slurmctld,munged}.pid; do
        [[ ! -f $pid ]] || kill "$(cat "$pid")" || true
    done
    exit
fi

port=$3
mkdir -p "$folder"/{state,spool,log} /run/munge /var/lib/munge /var/log/munge /etc/munge
if [[ ! -f /etc/munge/munge.key ]]; then
    dd if=/dev/urandom of=/etc/munge/munge.key bs=1024 count=1 status=none
    chmod 400 /etc/munge/munge.key
fi
chown -R munge:munge /run/munge /var/lib/munge /var/log/munge /etc/munge
cat >"$SLURM_CONF" <<CONF
ClusterName=one
SlurmctldHost=localhost
SlurmctldPort=$port
SlurmdPort=$((port + 1))
AuthType=auth/munge
AuthInfo=cred_expire=5
SlurmUser=root
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,sched_min_interval=0
ReturnToService=2
NodeName=localhost CPUs=$(nproc --all) State=UNKNOWN
PartitionName=all Nodes=localhost Default=YES MaxTime=INFINITE State=UP
CONF
if ! pgrep -x munged >/dev/null; then
    su -s /bin/sh munge -c munged
    pgrep -xo munged >"$folder/munged.pid"
fi
slurmctld
for _ in {1..50}; do
    scontrol ping | grep -q UP && break
    sleep 0.2
done
slurmd -N localhost
for _ in {1..100}; do
    sinfo --noheader --format %t | grep -q idle && exit
    sleep 0.2
done
sinfo
exit 1
