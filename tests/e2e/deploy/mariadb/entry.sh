#!/bin/sh
# Make the database at the first start, then serve it. Passwords come from files and are never printed.
set -eu
data=/var/lib/mysql
socket=/run/mysqld/mysqld.sock
if [ ! -d "$data/mysql" ]; then
  mariadb-install-db --no-defaults --datadir="$data" --auth-root-authentication-method=normal --skip-test-db >/dev/null
  mariadbd --no-defaults --datadir="$data" --socket="$socket" --skip-networking "$@" --bootstrap <<SQL
FLUSH PRIVILEGES;
ALTER USER root@localhost IDENTIFIED BY '$(cat "$MYSQL_ROOT_PASSWORD_FILE")';
DELETE FROM mysql.global_priv WHERE user = 'root' AND host <> '$MYSQL_ROOT_HOST';
CREATE DATABASE $MYSQL_DATABASE;
CREATE USER '$MYSQL_USER'@'%' IDENTIFIED BY '$(cat "$MYSQL_PASSWORD_FILE")';
GRANT ALL ON $MYSQL_DATABASE.* TO '$MYSQL_USER'@'%';
SQL
fi
exec mariadbd --no-defaults --datadir="$data" --socket="$socket" --pid-file=/run/mysqld/mysqld.pid --bind-address=0.0.0.0 "$@"
