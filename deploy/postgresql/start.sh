# Makes the database at the first start, and serves it to the networks of the compose project.
set -eu
data=/var/lib/postgresql/data
if [ ! -e "$data/PG_VERSION" ]; then
  initdb --pgdata="$data" --encoding=UTF8 --locale=C.UTF-8 --auth-host=trust --auth-local=peer >/dev/null
  echo "host pneumoscope pneumoscope samenet trust" >> "$data/pg_hba.conf"
  pg_ctl --pgdata="$data" --silent --wait -o "-k /tmp -c listen_addresses=" start
  psql --quiet --host=/tmp --dbname=postgres --command="CREATE ROLE pneumoscope LOGIN" --command="CREATE DATABASE pneumoscope OWNER pneumoscope"
  pg_ctl --pgdata="$data" --silent --wait stop
fi
exec postgres -D "$data" -k /tmp -c listen_addresses='*'
