# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_log_ingestd_global_optspecs
    string join \n watch= include= exclude= follow-symlinks= poll-interval= sweep-at= spool-dir= spool-limit= listen= auth-file= tls-cert= tls-key= tls-hsts= notify-url= notify-command= notify-lag= notify-errors= database-url= connect-timeout= format= retention= rollup-retention= sensitive-fields= masking= keep-raw-rejects= exclude-path= exclude-extension= exclude-server-log= host= config= log-format= log-level= h/help V/version
end

function __fish_log_ingestd_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_log_ingestd_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_log_ingestd_using_subcommand
    set -l cmd (__fish_log_ingestd_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -l watch -d 'Directories, files, FIFOs or patterns to follow; - is standard input; may be given several times, each with a --format after it if there are several formats [env: LOG_INGESTD_WATCH, several separated by colons]' -r -F
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -l include -d 'Follow only names that match this pattern, for example \'access*\'; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -l exclude -d 'Never follow names that match this pattern; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -l follow-symlinks -d 'Follow every symbolic link in a watched directory or below a pattern; without it only those of root, of this user and of the owner of what they lead to, and those to what is watched itself' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -l poll-interval -d 'Time between two looks at all files, for file systems that send no events [default: 2s]' -r
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -l sweep-at -d 'Local time of the daily sweep [default: 03:30]' -r
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -l spool-dir -d 'Where what comes from standard input and FIFOs is kept until it is stored [default: spool beside the default SQLite file]' -r -F
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -l spool-limit -d 'How much may be kept there while the database is unavailable; then the writers wait [default: 1GiB]' -r
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -l listen -d 'Where the page and the metrics are; \'off\' for nowhere [default: 127.0.0.1:8686]' -r
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -l auth-file -d 'Who may see the page: lines of the command hash-password. Needed for any address that other machines reach' -r -F
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -l tls-cert -d 'The page\'s certificate with those of its authorities after it (PEM): the page has TLS. healthcheck only needs to know that there is one' -r -F
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -l tls-key -d 'The key of that certificate (PEM, without a passphrase)' -r -F
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -l tls-hsts -d 'Tell browsers to use TLS alone for the page\'s host name, on every port, for so long: for example 365d' -r
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -l notify-url -d 'Post a notice there, as JSON, if the database is unavailable, lines wait for long, are rejected or lost, or many requests get 5xx; and when that is over' -r
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -l notify-command -d 'The same for a command of /bin/sh, which gets a notice on standard input, for example \'mail -s log-ingestd ops@example.org\'' -r
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -l notify-lag -d 'How long lines may wait before that is a notice; \'off\' for never [default: 5m]' -r
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -l notify-errors -d 'Which share of this host\'s requests of 5 minutes may get 5xx before that is a notice; \'off\' for any [default: 5%]' -r
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -l database-url -d 'The database: postgres://user@host:5432/name or sqlite:/path [default: an SQLite file in the user\'s state directory]' -r
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -l connect-timeout -d 'How long to try to reach the database at the start [default: 10s]' -r
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -l format -d 'A preset\'s name, or the format in the dialect of Gunicorn, nginx or Apache. One is for all files; of several, each is for the --watch before it [default: told from each file\'s lines]' -r
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -l retention -d 'How long rows stay, for example 120d or 36h; \'off\' keeps them [default: 120d]' -r
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -l rollup-retention -d 'How long counts by minute and hour stay, which charts read; \'off\' keeps them [default: 400d, or as long as the rows]' -r
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -l sensitive-fields -d 'Query parameters, headers and keys of JSON whose values are stored as ********, besides all whose names mean a secret; \'\' hides none [default: password,token,access_key,secret]' -r
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -l masking -d 'Whether names that mean a secret and values that look like one are hidden, or exactly the names in --sensitive-fields [default: meaning]' -r -f -a "meaning\t''
exact\t''"
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -l keep-raw-rejects -d 'Keep the exact bytes of rejected lines, with the secrets in them; without it they are masked as rows are' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -l exclude-path -d 'Leave out requests whose path begins so, for example /health/; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -l exclude-extension -d 'Leave out requests whose path ends so, for example .css; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -l exclude-server-log -d 'Leave out lines of the server itself, as of Gunicorn\'s error log, that stand among access lines; without it they are kept as rejected lines' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -l host -d 'The host whose logs these are [default: this host\'s name]' -r
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -l config -d 'A TOML file with any of these settings; /dev/null is none [default: /etc/log-ingestd/config.toml, the installed service\'s, if it is there]' -r -F
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -l log-format -d 'How the program\'s own log is written, on standard error [default: human]' -r -f -a "human\t''
json\t''"
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -l log-level -d 'error, warn, info, debug or trace [default: info to follow or serve, else warn]' -r
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -s h -l help -d 'Print help'
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -s V -l version -d 'Print version'
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -f -a "watch" -d 'Follow logs until SIGTERM, and store each of their lines once: the same as --watch'
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -f -a "serve" -d 'Serve the page, and follow nothing'
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -f -a "import" -d 'Store whole files, plain or compressed (gzip, zstd, xz, bzip2), and exit'
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -f -a "check" -d 'Parse a file without storing anything: fields of its first lines, counts, reasons'
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -f -a "status" -d 'Show files, offsets, lag, rejects and sweeps, and which files are ignored and why'
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -f -a "query" -d 'Print stored rows: a table, JSON lines, CSV, or an access log again'
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -f -a "top" -d 'Print the most frequent URLs, users, addresses, agents or hosts, or the slowest URLs'
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -f -a "report" -d 'Write the page\'s overview of a range into one HTML file: numbers, charts, lists, errors, and what was not stored'
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -f -a "verify" -d 'Hold files against the database: digest, counts, and each line against its row'
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -f -a "export" -d 'Write a log back byte for byte, from what is stored of it, to standard output; where that is not for certain the log, standard error says so, and the exit code is 1'
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -f -a "reparse" -d 'Read stored lines once more, by the format of their file or by --format: rejected ones, of which those that can be read become rows; with --rows, all lines of files that are still there'
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -f -a "forget" -d 'Remove all that is stored of a file, so that it can be imported again, by another format perhaps; stop its daemon first'
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -f -a "cleanup" -d 'Sweep old rows now'
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -f -a "migrate" -d 'Make the tables, or bring them to this program\'s schema, and exit; daemons that are older stop'
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -f -a "copy" -d 'Copy everything from one database to another, compare both, and exit; stop the daemons first'
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -f -a "rename-host" -d 'Move the logs of a host that was renamed to its new name, and exit; stop its daemon first'
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -f -a "hash-password" -d 'Print a line for --auth-file, of a password that is read from the terminal or from standard input'
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -f -a "healthcheck" -d 'Ask a daemon of this machine at --listen whether it lives: exit code 0, or 1 and why not'
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -f -a "doctor" -d 'Examine database, rights, formats, clock, disk and spool: exit code 0, or 1 with what to do about each finding'
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -f -a "completions" -d 'Print the script by which a shell completes this program\'s commands and flags'
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -f -a "man" -d 'Write the manual\'s pages into a directory'
complete -c log-ingestd -n "__fish_log_ingestd_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand watch" -l include -d 'Follow only names that match this pattern, for example \'access*\'; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand watch" -l exclude -d 'Never follow names that match this pattern; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand watch" -l follow-symlinks -d 'Follow every symbolic link in a watched directory or below a pattern; without it only those of root, of this user and of the owner of what they lead to, and those to what is watched itself' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand watch" -l poll-interval -d 'Time between two looks at all files, for file systems that send no events [default: 2s]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand watch" -l sweep-at -d 'Local time of the daily sweep [default: 03:30]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand watch" -l spool-dir -d 'Where what comes from standard input and FIFOs is kept until it is stored [default: spool beside the default SQLite file]' -r -F
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand watch" -l spool-limit -d 'How much may be kept there while the database is unavailable; then the writers wait [default: 1GiB]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand watch" -l listen -d 'Where the page and the metrics are; \'off\' for nowhere [default: 127.0.0.1:8686]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand watch" -l auth-file -d 'Who may see the page: lines of the command hash-password. Needed for any address that other machines reach' -r -F
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand watch" -l tls-cert -d 'The page\'s certificate with those of its authorities after it (PEM): the page has TLS. healthcheck only needs to know that there is one' -r -F
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand watch" -l tls-key -d 'The key of that certificate (PEM, without a passphrase)' -r -F
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand watch" -l tls-hsts -d 'Tell browsers to use TLS alone for the page\'s host name, on every port, for so long: for example 365d' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand watch" -l notify-url -d 'Post a notice there, as JSON, if the database is unavailable, lines wait for long, are rejected or lost, or many requests get 5xx; and when that is over' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand watch" -l notify-command -d 'The same for a command of /bin/sh, which gets a notice on standard input, for example \'mail -s log-ingestd ops@example.org\'' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand watch" -l notify-lag -d 'How long lines may wait before that is a notice; \'off\' for never [default: 5m]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand watch" -l notify-errors -d 'Which share of this host\'s requests of 5 minutes may get 5xx before that is a notice; \'off\' for any [default: 5%]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand watch" -l database-url -d 'The database: postgres://user@host:5432/name or sqlite:/path [default: an SQLite file in the user\'s state directory]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand watch" -l connect-timeout -d 'How long to try to reach the database at the start [default: 10s]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand watch" -l format -d 'A preset\'s name, or the format in the dialect of Gunicorn, nginx or Apache. One is for all files; of several, each is for the --watch before it [default: told from each file\'s lines]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand watch" -l retention -d 'How long rows stay, for example 120d or 36h; \'off\' keeps them [default: 120d]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand watch" -l rollup-retention -d 'How long counts by minute and hour stay, which charts read; \'off\' keeps them [default: 400d, or as long as the rows]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand watch" -l sensitive-fields -d 'Query parameters, headers and keys of JSON whose values are stored as ********, besides all whose names mean a secret; \'\' hides none [default: password,token,access_key,secret]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand watch" -l masking -d 'Whether names that mean a secret and values that look like one are hidden, or exactly the names in --sensitive-fields [default: meaning]' -r -f -a "meaning\t''
exact\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand watch" -l keep-raw-rejects -d 'Keep the exact bytes of rejected lines, with the secrets in them; without it they are masked as rows are' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand watch" -l exclude-path -d 'Leave out requests whose path begins so, for example /health/; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand watch" -l exclude-extension -d 'Leave out requests whose path ends so, for example .css; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand watch" -l exclude-server-log -d 'Leave out lines of the server itself, as of Gunicorn\'s error log, that stand among access lines; without it they are kept as rejected lines' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand watch" -l host -d 'The host whose logs these are [default: this host\'s name]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand watch" -l config -d 'A TOML file with any of these settings; /dev/null is none [default: /etc/log-ingestd/config.toml, the installed service\'s, if it is there]' -r -F
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand watch" -l log-format -d 'How the program\'s own log is written, on standard error [default: human]' -r -f -a "human\t''
json\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand watch" -l log-level -d 'error, warn, info, debug or trace [default: info to follow or serve, else warn]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand watch" -s h -l help -d 'Print help'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand serve" -l listen -d 'Where the page and the metrics are; \'off\' for nowhere [default: 127.0.0.1:8686]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand serve" -l auth-file -d 'Who may see the page: lines of the command hash-password. Needed for any address that other machines reach' -r -F
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand serve" -l tls-cert -d 'The page\'s certificate with those of its authorities after it (PEM): the page has TLS. healthcheck only needs to know that there is one' -r -F
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand serve" -l tls-key -d 'The key of that certificate (PEM, without a passphrase)' -r -F
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand serve" -l tls-hsts -d 'Tell browsers to use TLS alone for the page\'s host name, on every port, for so long: for example 365d' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand serve" -l database-url -d 'The database: postgres://user@host:5432/name or sqlite:/path [default: an SQLite file in the user\'s state directory]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand serve" -l connect-timeout -d 'How long to try to reach the database at the start [default: 10s]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand serve" -l format -d 'A preset\'s name, or the format in the dialect of Gunicorn, nginx or Apache. One is for all files; of several, each is for the --watch before it [default: told from each file\'s lines]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand serve" -l retention -d 'How long rows stay, for example 120d or 36h; \'off\' keeps them [default: 120d]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand serve" -l rollup-retention -d 'How long counts by minute and hour stay, which charts read; \'off\' keeps them [default: 400d, or as long as the rows]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand serve" -l sensitive-fields -d 'Query parameters, headers and keys of JSON whose values are stored as ********, besides all whose names mean a secret; \'\' hides none [default: password,token,access_key,secret]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand serve" -l masking -d 'Whether names that mean a secret and values that look like one are hidden, or exactly the names in --sensitive-fields [default: meaning]' -r -f -a "meaning\t''
exact\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand serve" -l keep-raw-rejects -d 'Keep the exact bytes of rejected lines, with the secrets in them; without it they are masked as rows are' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand serve" -l exclude-path -d 'Leave out requests whose path begins so, for example /health/; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand serve" -l exclude-extension -d 'Leave out requests whose path ends so, for example .css; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand serve" -l exclude-server-log -d 'Leave out lines of the server itself, as of Gunicorn\'s error log, that stand among access lines; without it they are kept as rejected lines' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand serve" -l host -d 'The host whose logs these are [default: this host\'s name]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand serve" -l config -d 'A TOML file with any of these settings; /dev/null is none [default: /etc/log-ingestd/config.toml, the installed service\'s, if it is there]' -r -F
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand serve" -l log-format -d 'How the program\'s own log is written, on standard error [default: human]' -r -f -a "human\t''
json\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand serve" -l log-level -d 'error, warn, info, debug or trace [default: info to follow or serve, else warn]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand serve" -s h -l help -d 'Print help'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand import" -l jobs -d 'Connections that send rows at once; SQLite uses one [default: processors, 4 at most, and to a distant server one more for each 20 ms of a round trip, 8 at most]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand import" -l database-url -d 'The database: postgres://user@host:5432/name or sqlite:/path [default: an SQLite file in the user\'s state directory]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand import" -l connect-timeout -d 'How long to try to reach the database at the start [default: 10s]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand import" -l format -d 'A preset\'s name, or the format in the dialect of Gunicorn, nginx or Apache. One is for all files; of several, each is for the --watch before it [default: told from each file\'s lines]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand import" -l retention -d 'How long rows stay, for example 120d or 36h; \'off\' keeps them [default: 120d]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand import" -l rollup-retention -d 'How long counts by minute and hour stay, which charts read; \'off\' keeps them [default: 400d, or as long as the rows]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand import" -l sensitive-fields -d 'Query parameters, headers and keys of JSON whose values are stored as ********, besides all whose names mean a secret; \'\' hides none [default: password,token,access_key,secret]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand import" -l masking -d 'Whether names that mean a secret and values that look like one are hidden, or exactly the names in --sensitive-fields [default: meaning]' -r -f -a "meaning\t''
exact\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand import" -l keep-raw-rejects -d 'Keep the exact bytes of rejected lines, with the secrets in them; without it they are masked as rows are' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand import" -l exclude-path -d 'Leave out requests whose path begins so, for example /health/; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand import" -l exclude-extension -d 'Leave out requests whose path ends so, for example .css; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand import" -l exclude-server-log -d 'Leave out lines of the server itself, as of Gunicorn\'s error log, that stand among access lines; without it they are kept as rejected lines' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand import" -l host -d 'The host whose logs these are [default: this host\'s name]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand import" -l config -d 'A TOML file with any of these settings; /dev/null is none [default: /etc/log-ingestd/config.toml, the installed service\'s, if it is there]' -r -F
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand import" -l log-format -d 'How the program\'s own log is written, on standard error [default: human]' -r -f -a "human\t''
json\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand import" -l log-level -d 'error, warn, info, debug or trace [default: info to follow or serve, else warn]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand import" -l again -d 'Store a file as a log of its own if its lines cannot be told from stored ones: they have no time, or it is one line'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand import" -l skip -d 'Leave such a file out'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand import" -l json -d 'Print the summary as one JSON object'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand import" -s h -l help -d 'Print help'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand check" -l database-url -d 'The database: postgres://user@host:5432/name or sqlite:/path [default: an SQLite file in the user\'s state directory]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand check" -l connect-timeout -d 'How long to try to reach the database at the start [default: 10s]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand check" -l format -d 'A preset\'s name, or the format in the dialect of Gunicorn, nginx or Apache. One is for all files; of several, each is for the --watch before it [default: told from each file\'s lines]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand check" -l retention -d 'How long rows stay, for example 120d or 36h; \'off\' keeps them [default: 120d]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand check" -l rollup-retention -d 'How long counts by minute and hour stay, which charts read; \'off\' keeps them [default: 400d, or as long as the rows]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand check" -l sensitive-fields -d 'Query parameters, headers and keys of JSON whose values are stored as ********, besides all whose names mean a secret; \'\' hides none [default: password,token,access_key,secret]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand check" -l masking -d 'Whether names that mean a secret and values that look like one are hidden, or exactly the names in --sensitive-fields [default: meaning]' -r -f -a "meaning\t''
exact\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand check" -l keep-raw-rejects -d 'Keep the exact bytes of rejected lines, with the secrets in them; without it they are masked as rows are' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand check" -l exclude-path -d 'Leave out requests whose path begins so, for example /health/; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand check" -l exclude-extension -d 'Leave out requests whose path ends so, for example .css; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand check" -l exclude-server-log -d 'Leave out lines of the server itself, as of Gunicorn\'s error log, that stand among access lines; without it they are kept as rejected lines' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand check" -l host -d 'The host whose logs these are [default: this host\'s name]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand check" -l config -d 'A TOML file with any of these settings; /dev/null is none [default: /etc/log-ingestd/config.toml, the installed service\'s, if it is there]' -r -F
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand check" -l log-format -d 'How the program\'s own log is written, on standard error [default: human]' -r -f -a "human\t''
json\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand check" -l log-level -d 'error, warn, info, debug or trace [default: info to follow or serve, else warn]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand check" -s h -l help -d 'Print help'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand status" -l database-url -d 'The database: postgres://user@host:5432/name or sqlite:/path [default: an SQLite file in the user\'s state directory]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand status" -l connect-timeout -d 'How long to try to reach the database at the start [default: 10s]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand status" -l format -d 'A preset\'s name, or the format in the dialect of Gunicorn, nginx or Apache. One is for all files; of several, each is for the --watch before it [default: told from each file\'s lines]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand status" -l retention -d 'How long rows stay, for example 120d or 36h; \'off\' keeps them [default: 120d]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand status" -l rollup-retention -d 'How long counts by minute and hour stay, which charts read; \'off\' keeps them [default: 400d, or as long as the rows]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand status" -l sensitive-fields -d 'Query parameters, headers and keys of JSON whose values are stored as ********, besides all whose names mean a secret; \'\' hides none [default: password,token,access_key,secret]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand status" -l masking -d 'Whether names that mean a secret and values that look like one are hidden, or exactly the names in --sensitive-fields [default: meaning]' -r -f -a "meaning\t''
exact\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand status" -l keep-raw-rejects -d 'Keep the exact bytes of rejected lines, with the secrets in them; without it they are masked as rows are' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand status" -l exclude-path -d 'Leave out requests whose path begins so, for example /health/; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand status" -l exclude-extension -d 'Leave out requests whose path ends so, for example .css; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand status" -l exclude-server-log -d 'Leave out lines of the server itself, as of Gunicorn\'s error log, that stand among access lines; without it they are kept as rejected lines' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand status" -l host -d 'The host whose logs these are [default: this host\'s name]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand status" -l config -d 'A TOML file with any of these settings; /dev/null is none [default: /etc/log-ingestd/config.toml, the installed service\'s, if it is there]' -r -F
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand status" -l log-format -d 'How the program\'s own log is written, on standard error [default: human]' -r -f -a "human\t''
json\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand status" -l log-level -d 'error, warn, info, debug or trace [default: info to follow or serve, else warn]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand status" -l all -d 'Show closed files too, of which nothing is lost'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand status" -l utc -d 'Times in UTC, which is the default'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand status" -l local -d 'Times in the zone of this machine, or of the variable TZ'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand status" -l json -d 'Print one JSON object'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand status" -s h -l help -d 'Print help'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand query" -l since -d 'From an age (15m, 7d), a day (2026-11-23, today, yesterday) or a time (2026-11-23T08:00:00Z) on [default: 1h]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand query" -l until -d 'Up to an age, the beginning of a day, or a time [default: now]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand query" -l url -d 'The URL begins with /…, or holds another text' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand query" -l code -d '404, 4xx, 400-499, \'>=400\', or several with commas between' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand query" -l method -d 'The method, for example POST' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand query" -l user -d 'The user\'s name or key' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand query" -l address -d 'The client\'s address, or its network: 203.0.113.0/24' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand query" -l http-host -d 'The request\'s Host header' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand query" -l server -d 'The machine whose log it is' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand query" -l route -d 'The pattern of URLs that led to the view: orders/<int:pk>/' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand query" -l request-id -d 'What names the request in other logs' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand query" -l trace-id -d 'The trace: 32 hexadecimal digits' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand query" -l agent -d 'Part of the User-Agent header' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand query" -l text -d 'Part of URL, agent, referer or user' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand query" -l log -d 'Which rows: Gunicorn\'s access log, or the application\'s request log' -r -f -a "access\t''
requests\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand query" -l output -d 'How rows are written' -r -f -a "table\t'Columns for people'
jsonl\t'A JSON object a line, with all columns'
csv\t'All columns, with a head'
log\t'Lines of an access log, in the format of their file, or in Gunicorn\'s default format if that is JSON'"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand query" -l limit -d 'Most rows [default: 100 as a table, else all; 10 to begin with --follow]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand query" -l database-url -d 'The database: postgres://user@host:5432/name or sqlite:/path [default: an SQLite file in the user\'s state directory]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand query" -l connect-timeout -d 'How long to try to reach the database at the start [default: 10s]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand query" -l format -d 'A preset\'s name, or the format in the dialect of Gunicorn, nginx or Apache. One is for all files; of several, each is for the --watch before it [default: told from each file\'s lines]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand query" -l retention -d 'How long rows stay, for example 120d or 36h; \'off\' keeps them [default: 120d]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand query" -l rollup-retention -d 'How long counts by minute and hour stay, which charts read; \'off\' keeps them [default: 400d, or as long as the rows]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand query" -l sensitive-fields -d 'Query parameters, headers and keys of JSON whose values are stored as ********, besides all whose names mean a secret; \'\' hides none [default: password,token,access_key,secret]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand query" -l masking -d 'Whether names that mean a secret and values that look like one are hidden, or exactly the names in --sensitive-fields [default: meaning]' -r -f -a "meaning\t''
exact\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand query" -l keep-raw-rejects -d 'Keep the exact bytes of rejected lines, with the secrets in them; without it they are masked as rows are' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand query" -l exclude-path -d 'Leave out requests whose path begins so, for example /health/; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand query" -l exclude-extension -d 'Leave out requests whose path ends so, for example .css; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand query" -l exclude-server-log -d 'Leave out lines of the server itself, as of Gunicorn\'s error log, that stand among access lines; without it they are kept as rejected lines' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand query" -l host -d 'The host whose logs these are [default: this host\'s name]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand query" -l config -d 'A TOML file with any of these settings; /dev/null is none [default: /etc/log-ingestd/config.toml, the installed service\'s, if it is there]' -r -F
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand query" -l log-format -d 'How the program\'s own log is written, on standard error [default: human]' -r -f -a "human\t''
json\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand query" -l log-level -d 'error, warn, info, debug or trace [default: info to follow or serve, else warn]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand query" -l utc -d 'Times in UTC, which is the default'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand query" -l local -d 'Times in the zone of this machine, or of the variable TZ'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand query" -l csv-safe -d 'In CSV, put \' before what a spreadsheet would take for a formula'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand query" -l oldest-first -d 'The oldest rows first'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand query" -l follow -d 'Go on with new rows as they are stored, until ctrl-C'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand query" -l wide -d 'All of each URL and user, in a table that may be wider than the terminal'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand query" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand top" -l since -d 'From an age (15m, 7d), a day (2026-11-23, today, yesterday) or a time (2026-11-23T08:00:00Z) on [default: 1h]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand top" -l until -d 'Up to an age, the beginning of a day, or a time [default: now]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand top" -l url -d 'The URL begins with /…, or holds another text' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand top" -l code -d '404, 4xx, 400-499, \'>=400\', or several with commas between' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand top" -l method -d 'The method, for example POST' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand top" -l user -d 'The user\'s name or key' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand top" -l address -d 'The client\'s address, or its network: 203.0.113.0/24' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand top" -l http-host -d 'The request\'s Host header' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand top" -l server -d 'The machine whose log it is' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand top" -l route -d 'The pattern of URLs that led to the view: orders/<int:pk>/' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand top" -l request-id -d 'What names the request in other logs' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand top" -l trace-id -d 'The trace: 32 hexadecimal digits' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand top" -l agent -d 'Part of the User-Agent header' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand top" -l text -d 'Part of URL, agent, referer or user' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand top" -l limit -d 'Most lines' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand top" -l database-url -d 'The database: postgres://user@host:5432/name or sqlite:/path [default: an SQLite file in the user\'s state directory]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand top" -l connect-timeout -d 'How long to try to reach the database at the start [default: 10s]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand top" -l format -d 'A preset\'s name, or the format in the dialect of Gunicorn, nginx or Apache. One is for all files; of several, each is for the --watch before it [default: told from each file\'s lines]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand top" -l retention -d 'How long rows stay, for example 120d or 36h; \'off\' keeps them [default: 120d]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand top" -l rollup-retention -d 'How long counts by minute and hour stay, which charts read; \'off\' keeps them [default: 400d, or as long as the rows]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand top" -l sensitive-fields -d 'Query parameters, headers and keys of JSON whose values are stored as ********, besides all whose names mean a secret; \'\' hides none [default: password,token,access_key,secret]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand top" -l masking -d 'Whether names that mean a secret and values that look like one are hidden, or exactly the names in --sensitive-fields [default: meaning]' -r -f -a "meaning\t''
exact\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand top" -l keep-raw-rejects -d 'Keep the exact bytes of rejected lines, with the secrets in them; without it they are masked as rows are' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand top" -l exclude-path -d 'Leave out requests whose path begins so, for example /health/; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand top" -l exclude-extension -d 'Leave out requests whose path ends so, for example .css; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand top" -l exclude-server-log -d 'Leave out lines of the server itself, as of Gunicorn\'s error log, that stand among access lines; without it they are kept as rejected lines' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand top" -l host -d 'The host whose logs these are [default: this host\'s name]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand top" -l config -d 'A TOML file with any of these settings; /dev/null is none [default: /etc/log-ingestd/config.toml, the installed service\'s, if it is there]' -r -F
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand top" -l log-format -d 'How the program\'s own log is written, on standard error [default: human]' -r -f -a "human\t''
json\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand top" -l log-level -d 'error, warn, info, debug or trace [default: info to follow or serve, else warn]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand top" -l utc -d 'Times in UTC, which is the default'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand top" -l local -d 'Times in the zone of this machine, or of the variable TZ'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand top" -l sample -d 'Count about the newest 300,000 rows only: sooner, if there are many millions'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand top" -l wide -d 'All of each value, in a table that may be wider than the terminal'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand top" -l json -d 'Print the answer as one JSON object'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand top" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand report" -l since -d 'From an age (24h, 7d), a day (2026-11-23, today, yesterday) or a time (2026-11-23T08:00:00Z) on' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand report" -l until -d 'Up to an age, the beginning of a day, or a time [default: now]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand report" -l server -d 'The machine whose logs it is about [default: all]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand report" -s o -l output -d 'The file that gets it; - is standard output' -r -F
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand report" -l database-url -d 'The database: postgres://user@host:5432/name or sqlite:/path [default: an SQLite file in the user\'s state directory]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand report" -l connect-timeout -d 'How long to try to reach the database at the start [default: 10s]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand report" -l format -d 'A preset\'s name, or the format in the dialect of Gunicorn, nginx or Apache. One is for all files; of several, each is for the --watch before it [default: told from each file\'s lines]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand report" -l retention -d 'How long rows stay, for example 120d or 36h; \'off\' keeps them [default: 120d]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand report" -l rollup-retention -d 'How long counts by minute and hour stay, which charts read; \'off\' keeps them [default: 400d, or as long as the rows]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand report" -l sensitive-fields -d 'Query parameters, headers and keys of JSON whose values are stored as ********, besides all whose names mean a secret; \'\' hides none [default: password,token,access_key,secret]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand report" -l masking -d 'Whether names that mean a secret and values that look like one are hidden, or exactly the names in --sensitive-fields [default: meaning]' -r -f -a "meaning\t''
exact\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand report" -l keep-raw-rejects -d 'Keep the exact bytes of rejected lines, with the secrets in them; without it they are masked as rows are' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand report" -l exclude-path -d 'Leave out requests whose path begins so, for example /health/; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand report" -l exclude-extension -d 'Leave out requests whose path ends so, for example .css; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand report" -l exclude-server-log -d 'Leave out lines of the server itself, as of Gunicorn\'s error log, that stand among access lines; without it they are kept as rejected lines' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand report" -l host -d 'The host whose logs these are [default: this host\'s name]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand report" -l config -d 'A TOML file with any of these settings; /dev/null is none [default: /etc/log-ingestd/config.toml, the installed service\'s, if it is there]' -r -F
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand report" -l log-format -d 'How the program\'s own log is written, on standard error [default: human]' -r -f -a "human\t''
json\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand report" -l log-level -d 'error, warn, info, debug or trace [default: info to follow or serve, else warn]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand report" -l utc -d 'Times in UTC, which is the default'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand report" -l local -d 'Times in the zone of this machine, or of the variable TZ'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand report" -s h -l help -d 'Print help'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand verify" -l database-url -d 'The database: postgres://user@host:5432/name or sqlite:/path [default: an SQLite file in the user\'s state directory]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand verify" -l connect-timeout -d 'How long to try to reach the database at the start [default: 10s]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand verify" -l format -d 'A preset\'s name, or the format in the dialect of Gunicorn, nginx or Apache. One is for all files; of several, each is for the --watch before it [default: told from each file\'s lines]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand verify" -l retention -d 'How long rows stay, for example 120d or 36h; \'off\' keeps them [default: 120d]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand verify" -l rollup-retention -d 'How long counts by minute and hour stay, which charts read; \'off\' keeps them [default: 400d, or as long as the rows]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand verify" -l sensitive-fields -d 'Query parameters, headers and keys of JSON whose values are stored as ********, besides all whose names mean a secret; \'\' hides none [default: password,token,access_key,secret]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand verify" -l masking -d 'Whether names that mean a secret and values that look like one are hidden, or exactly the names in --sensitive-fields [default: meaning]' -r -f -a "meaning\t''
exact\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand verify" -l keep-raw-rejects -d 'Keep the exact bytes of rejected lines, with the secrets in them; without it they are masked as rows are' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand verify" -l exclude-path -d 'Leave out requests whose path begins so, for example /health/; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand verify" -l exclude-extension -d 'Leave out requests whose path ends so, for example .css; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand verify" -l exclude-server-log -d 'Leave out lines of the server itself, as of Gunicorn\'s error log, that stand among access lines; without it they are kept as rejected lines' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand verify" -l host -d 'The host whose logs these are [default: this host\'s name]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand verify" -l config -d 'A TOML file with any of these settings; /dev/null is none [default: /etc/log-ingestd/config.toml, the installed service\'s, if it is there]' -r -F
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand verify" -l log-format -d 'How the program\'s own log is written, on standard error [default: human]' -r -f -a "human\t''
json\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand verify" -l log-level -d 'error, warn, info, debug or trace [default: info to follow or serve, else warn]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand verify" -l json -d 'Print the result as one JSON object'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand verify" -s h -l help -d 'Print help'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand export" -l file -d 'The file with this id, of those that `status --all --json` shows' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand export" -l since -d 'Begin with the first line of this time or later: an age (90m, 2d), a day (2026-11-25, today, yesterday) or a time' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand export" -l until -d 'End before the first line of this time or later' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand export" -l database-url -d 'The database: postgres://user@host:5432/name or sqlite:/path [default: an SQLite file in the user\'s state directory]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand export" -l connect-timeout -d 'How long to try to reach the database at the start [default: 10s]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand export" -l format -d 'A preset\'s name, or the format in the dialect of Gunicorn, nginx or Apache. One is for all files; of several, each is for the --watch before it [default: told from each file\'s lines]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand export" -l retention -d 'How long rows stay, for example 120d or 36h; \'off\' keeps them [default: 120d]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand export" -l rollup-retention -d 'How long counts by minute and hour stay, which charts read; \'off\' keeps them [default: 400d, or as long as the rows]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand export" -l sensitive-fields -d 'Query parameters, headers and keys of JSON whose values are stored as ********, besides all whose names mean a secret; \'\' hides none [default: password,token,access_key,secret]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand export" -l masking -d 'Whether names that mean a secret and values that look like one are hidden, or exactly the names in --sensitive-fields [default: meaning]' -r -f -a "meaning\t''
exact\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand export" -l keep-raw-rejects -d 'Keep the exact bytes of rejected lines, with the secrets in them; without it they are masked as rows are' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand export" -l exclude-path -d 'Leave out requests whose path begins so, for example /health/; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand export" -l exclude-extension -d 'Leave out requests whose path ends so, for example .css; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand export" -l exclude-server-log -d 'Leave out lines of the server itself, as of Gunicorn\'s error log, that stand among access lines; without it they are kept as rejected lines' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand export" -l host -d 'The host whose logs these are [default: this host\'s name]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand export" -l config -d 'A TOML file with any of these settings; /dev/null is none [default: /etc/log-ingestd/config.toml, the installed service\'s, if it is there]' -r -F
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand export" -l log-format -d 'How the program\'s own log is written, on standard error [default: human]' -r -f -a "human\t''
json\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand export" -l log-level -d 'error, warn, info, debug or trace [default: info to follow or serve, else warn]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand export" -l utc -d 'Times in UTC, which is the default'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand export" -l local -d 'Times in the zone of this machine, or of the variable TZ'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand export" -l json -d 'Print the summary on standard error as one JSON object'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand export" -s h -l help -d 'Print help'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand reparse" -l file -d 'With --rows, only this file or directory; may be given again [default: every file of this host that is still there]' -r -F
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand reparse" -l database-url -d 'The database: postgres://user@host:5432/name or sqlite:/path [default: an SQLite file in the user\'s state directory]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand reparse" -l connect-timeout -d 'How long to try to reach the database at the start [default: 10s]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand reparse" -l format -d 'A preset\'s name, or the format in the dialect of Gunicorn, nginx or Apache. One is for all files; of several, each is for the --watch before it [default: told from each file\'s lines]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand reparse" -l retention -d 'How long rows stay, for example 120d or 36h; \'off\' keeps them [default: 120d]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand reparse" -l rollup-retention -d 'How long counts by minute and hour stay, which charts read; \'off\' keeps them [default: 400d, or as long as the rows]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand reparse" -l sensitive-fields -d 'Query parameters, headers and keys of JSON whose values are stored as ********, besides all whose names mean a secret; \'\' hides none [default: password,token,access_key,secret]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand reparse" -l masking -d 'Whether names that mean a secret and values that look like one are hidden, or exactly the names in --sensitive-fields [default: meaning]' -r -f -a "meaning\t''
exact\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand reparse" -l keep-raw-rejects -d 'Keep the exact bytes of rejected lines, with the secrets in them; without it they are masked as rows are' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand reparse" -l exclude-path -d 'Leave out requests whose path begins so, for example /health/; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand reparse" -l exclude-extension -d 'Leave out requests whose path ends so, for example .css; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand reparse" -l exclude-server-log -d 'Leave out lines of the server itself, as of Gunicorn\'s error log, that stand among access lines; without it they are kept as rejected lines' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand reparse" -l host -d 'The host whose logs these are [default: this host\'s name]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand reparse" -l config -d 'A TOML file with any of these settings; /dev/null is none [default: /etc/log-ingestd/config.toml, the installed service\'s, if it is there]' -r -F
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand reparse" -l log-format -d 'How the program\'s own log is written, on standard error [default: human]' -r -f -a "human\t''
json\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand reparse" -l log-level -d 'error, warn, info, debug or trace [default: info to follow or serve, else warn]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand reparse" -l rows -d 'Read files or their archives again, and replace what is stored of their lines by what they are now'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand reparse" -l dry-run -d 'Count what would change, and change nothing'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand reparse" -l json -d 'Print the summary as one JSON object'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand reparse" -s h -l help -d 'Print help'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand forget" -l id -d 'Of several files that were stored from there, the one with this id; may be given again' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand forget" -l database-url -d 'The database: postgres://user@host:5432/name or sqlite:/path [default: an SQLite file in the user\'s state directory]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand forget" -l connect-timeout -d 'How long to try to reach the database at the start [default: 10s]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand forget" -l format -d 'A preset\'s name, or the format in the dialect of Gunicorn, nginx or Apache. One is for all files; of several, each is for the --watch before it [default: told from each file\'s lines]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand forget" -l retention -d 'How long rows stay, for example 120d or 36h; \'off\' keeps them [default: 120d]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand forget" -l rollup-retention -d 'How long counts by minute and hour stay, which charts read; \'off\' keeps them [default: 400d, or as long as the rows]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand forget" -l sensitive-fields -d 'Query parameters, headers and keys of JSON whose values are stored as ********, besides all whose names mean a secret; \'\' hides none [default: password,token,access_key,secret]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand forget" -l masking -d 'Whether names that mean a secret and values that look like one are hidden, or exactly the names in --sensitive-fields [default: meaning]' -r -f -a "meaning\t''
exact\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand forget" -l keep-raw-rejects -d 'Keep the exact bytes of rejected lines, with the secrets in them; without it they are masked as rows are' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand forget" -l exclude-path -d 'Leave out requests whose path begins so, for example /health/; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand forget" -l exclude-extension -d 'Leave out requests whose path ends so, for example .css; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand forget" -l exclude-server-log -d 'Leave out lines of the server itself, as of Gunicorn\'s error log, that stand among access lines; without it they are kept as rejected lines' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand forget" -l host -d 'The host whose logs these are [default: this host\'s name]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand forget" -l config -d 'A TOML file with any of these settings; /dev/null is none [default: /etc/log-ingestd/config.toml, the installed service\'s, if it is there]' -r -F
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand forget" -l log-format -d 'How the program\'s own log is written, on standard error [default: human]' -r -f -a "human\t''
json\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand forget" -l log-level -d 'error, warn, info, debug or trace [default: info to follow or serve, else warn]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand forget" -l yes -d 'Although it is still there, and a daemon that watches its directory will read it again'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand forget" -l json -d 'Print the summary as one JSON object'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand forget" -s h -l help -d 'Print help'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand cleanup" -l days -d 'Remove rows older than so many days' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand cleanup" -l older-than -d 'Remove rows older than this: an age (36h), a day (2026-11-25) or a time [default: the retention]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand cleanup" -l batch-size -d 'Rows removed in one transaction' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand cleanup" -l log-type -d 'Which logs' -r -f -a "all\t''
request\t''
gunicorn\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand cleanup" -l database-url -d 'The database: postgres://user@host:5432/name or sqlite:/path [default: an SQLite file in the user\'s state directory]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand cleanup" -l connect-timeout -d 'How long to try to reach the database at the start [default: 10s]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand cleanup" -l format -d 'A preset\'s name, or the format in the dialect of Gunicorn, nginx or Apache. One is for all files; of several, each is for the --watch before it [default: told from each file\'s lines]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand cleanup" -l retention -d 'How long rows stay, for example 120d or 36h; \'off\' keeps them [default: 120d]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand cleanup" -l rollup-retention -d 'How long counts by minute and hour stay, which charts read; \'off\' keeps them [default: 400d, or as long as the rows]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand cleanup" -l sensitive-fields -d 'Query parameters, headers and keys of JSON whose values are stored as ********, besides all whose names mean a secret; \'\' hides none [default: password,token,access_key,secret]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand cleanup" -l masking -d 'Whether names that mean a secret and values that look like one are hidden, or exactly the names in --sensitive-fields [default: meaning]' -r -f -a "meaning\t''
exact\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand cleanup" -l keep-raw-rejects -d 'Keep the exact bytes of rejected lines, with the secrets in them; without it they are masked as rows are' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand cleanup" -l exclude-path -d 'Leave out requests whose path begins so, for example /health/; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand cleanup" -l exclude-extension -d 'Leave out requests whose path ends so, for example .css; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand cleanup" -l exclude-server-log -d 'Leave out lines of the server itself, as of Gunicorn\'s error log, that stand among access lines; without it they are kept as rejected lines' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand cleanup" -l host -d 'The host whose logs these are [default: this host\'s name]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand cleanup" -l config -d 'A TOML file with any of these settings; /dev/null is none [default: /etc/log-ingestd/config.toml, the installed service\'s, if it is there]' -r -F
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand cleanup" -l log-format -d 'How the program\'s own log is written, on standard error [default: human]' -r -f -a "human\t''
json\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand cleanup" -l log-level -d 'error, warn, info, debug or trace [default: info to follow or serve, else warn]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand cleanup" -l dry-run -d 'Count what would be removed, and remove nothing'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand cleanup" -l yes -d 'Remove every row, as --days 0 says'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand cleanup" -l utc -d 'Times in UTC, which is the default'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand cleanup" -l local -d 'Times in the zone of this machine, or of the variable TZ'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand cleanup" -s h -l help -d 'Print help'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand migrate" -l days -d 'Also make the partitions of today and of the N days after it, for daemons that may make none' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand migrate" -l since -d 'With --days: make them from this day on, for older lines: a day (2026-09-01) or an age (90d); a day after them makes the one partition for lines from a clock that is ahead' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand migrate" -l database-url -d 'The database: postgres://user@host:5432/name or sqlite:/path [default: an SQLite file in the user\'s state directory]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand migrate" -l connect-timeout -d 'How long to try to reach the database at the start [default: 10s]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand migrate" -l format -d 'A preset\'s name, or the format in the dialect of Gunicorn, nginx or Apache. One is for all files; of several, each is for the --watch before it [default: told from each file\'s lines]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand migrate" -l retention -d 'How long rows stay, for example 120d or 36h; \'off\' keeps them [default: 120d]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand migrate" -l rollup-retention -d 'How long counts by minute and hour stay, which charts read; \'off\' keeps them [default: 400d, or as long as the rows]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand migrate" -l sensitive-fields -d 'Query parameters, headers and keys of JSON whose values are stored as ********, besides all whose names mean a secret; \'\' hides none [default: password,token,access_key,secret]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand migrate" -l masking -d 'Whether names that mean a secret and values that look like one are hidden, or exactly the names in --sensitive-fields [default: meaning]' -r -f -a "meaning\t''
exact\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand migrate" -l keep-raw-rejects -d 'Keep the exact bytes of rejected lines, with the secrets in them; without it they are masked as rows are' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand migrate" -l exclude-path -d 'Leave out requests whose path begins so, for example /health/; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand migrate" -l exclude-extension -d 'Leave out requests whose path ends so, for example .css; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand migrate" -l exclude-server-log -d 'Leave out lines of the server itself, as of Gunicorn\'s error log, that stand among access lines; without it they are kept as rejected lines' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand migrate" -l host -d 'The host whose logs these are [default: this host\'s name]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand migrate" -l config -d 'A TOML file with any of these settings; /dev/null is none [default: /etc/log-ingestd/config.toml, the installed service\'s, if it is there]' -r -F
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand migrate" -l log-format -d 'How the program\'s own log is written, on standard error [default: human]' -r -f -a "human\t''
json\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand migrate" -l log-level -d 'error, warn, info, debug or trace [default: info to follow or serve, else warn]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand migrate" -l dry-run -d 'Say what would be done, and change nothing'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand migrate" -l citus -d 'Also distribute the tables over the workers of a Citus cluster'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand migrate" -s h -l help -d 'Print help'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand copy" -l from -d 'The database that has the rows: postgres://user@host:5432/name or sqlite:/path. A password is better in ~/.pgpass or PGPASSWORD: other users of the machine see this one' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand copy" -l to -d 'The database that gets them, without rows of its own; an SQLite file is made' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand copy" -l database-url -d 'The database: postgres://user@host:5432/name or sqlite:/path [default: an SQLite file in the user\'s state directory]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand copy" -l connect-timeout -d 'How long to try to reach the database at the start [default: 10s]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand copy" -l format -d 'A preset\'s name, or the format in the dialect of Gunicorn, nginx or Apache. One is for all files; of several, each is for the --watch before it [default: told from each file\'s lines]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand copy" -l retention -d 'How long rows stay, for example 120d or 36h; \'off\' keeps them [default: 120d]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand copy" -l rollup-retention -d 'How long counts by minute and hour stay, which charts read; \'off\' keeps them [default: 400d, or as long as the rows]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand copy" -l sensitive-fields -d 'Query parameters, headers and keys of JSON whose values are stored as ********, besides all whose names mean a secret; \'\' hides none [default: password,token,access_key,secret]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand copy" -l masking -d 'Whether names that mean a secret and values that look like one are hidden, or exactly the names in --sensitive-fields [default: meaning]' -r -f -a "meaning\t''
exact\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand copy" -l keep-raw-rejects -d 'Keep the exact bytes of rejected lines, with the secrets in them; without it they are masked as rows are' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand copy" -l exclude-path -d 'Leave out requests whose path begins so, for example /health/; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand copy" -l exclude-extension -d 'Leave out requests whose path ends so, for example .css; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand copy" -l exclude-server-log -d 'Leave out lines of the server itself, as of Gunicorn\'s error log, that stand among access lines; without it they are kept as rejected lines' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand copy" -l host -d 'The host whose logs these are [default: this host\'s name]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand copy" -l config -d 'A TOML file with any of these settings; /dev/null is none [default: /etc/log-ingestd/config.toml, the installed service\'s, if it is there]' -r -F
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand copy" -l log-format -d 'How the program\'s own log is written, on standard error [default: human]' -r -f -a "human\t''
json\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand copy" -l log-level -d 'error, warn, info, debug or trace [default: info to follow or serve, else warn]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand copy" -l json -d 'Print the summary as one JSON object'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand copy" -s h -l help -d 'Print help'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand rename-host" -l database-url -d 'The database: postgres://user@host:5432/name or sqlite:/path [default: an SQLite file in the user\'s state directory]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand rename-host" -l connect-timeout -d 'How long to try to reach the database at the start [default: 10s]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand rename-host" -l format -d 'A preset\'s name, or the format in the dialect of Gunicorn, nginx or Apache. One is for all files; of several, each is for the --watch before it [default: told from each file\'s lines]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand rename-host" -l retention -d 'How long rows stay, for example 120d or 36h; \'off\' keeps them [default: 120d]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand rename-host" -l rollup-retention -d 'How long counts by minute and hour stay, which charts read; \'off\' keeps them [default: 400d, or as long as the rows]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand rename-host" -l sensitive-fields -d 'Query parameters, headers and keys of JSON whose values are stored as ********, besides all whose names mean a secret; \'\' hides none [default: password,token,access_key,secret]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand rename-host" -l masking -d 'Whether names that mean a secret and values that look like one are hidden, or exactly the names in --sensitive-fields [default: meaning]' -r -f -a "meaning\t''
exact\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand rename-host" -l keep-raw-rejects -d 'Keep the exact bytes of rejected lines, with the secrets in them; without it they are masked as rows are' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand rename-host" -l exclude-path -d 'Leave out requests whose path begins so, for example /health/; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand rename-host" -l exclude-extension -d 'Leave out requests whose path ends so, for example .css; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand rename-host" -l exclude-server-log -d 'Leave out lines of the server itself, as of Gunicorn\'s error log, that stand among access lines; without it they are kept as rejected lines' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand rename-host" -l host -d 'The host whose logs these are [default: this host\'s name]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand rename-host" -l config -d 'A TOML file with any of these settings; /dev/null is none [default: /etc/log-ingestd/config.toml, the installed service\'s, if it is there]' -r -F
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand rename-host" -l log-format -d 'How the program\'s own log is written, on standard error [default: human]' -r -f -a "human\t''
json\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand rename-host" -l log-level -d 'error, warn, info, debug or trace [default: info to follow or serve, else warn]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand rename-host" -s h -l help -d 'Print help'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand hash-password" -l database-url -d 'The database: postgres://user@host:5432/name or sqlite:/path [default: an SQLite file in the user\'s state directory]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand hash-password" -l connect-timeout -d 'How long to try to reach the database at the start [default: 10s]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand hash-password" -l format -d 'A preset\'s name, or the format in the dialect of Gunicorn, nginx or Apache. One is for all files; of several, each is for the --watch before it [default: told from each file\'s lines]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand hash-password" -l retention -d 'How long rows stay, for example 120d or 36h; \'off\' keeps them [default: 120d]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand hash-password" -l rollup-retention -d 'How long counts by minute and hour stay, which charts read; \'off\' keeps them [default: 400d, or as long as the rows]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand hash-password" -l sensitive-fields -d 'Query parameters, headers and keys of JSON whose values are stored as ********, besides all whose names mean a secret; \'\' hides none [default: password,token,access_key,secret]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand hash-password" -l masking -d 'Whether names that mean a secret and values that look like one are hidden, or exactly the names in --sensitive-fields [default: meaning]' -r -f -a "meaning\t''
exact\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand hash-password" -l keep-raw-rejects -d 'Keep the exact bytes of rejected lines, with the secrets in them; without it they are masked as rows are' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand hash-password" -l exclude-path -d 'Leave out requests whose path begins so, for example /health/; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand hash-password" -l exclude-extension -d 'Leave out requests whose path ends so, for example .css; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand hash-password" -l exclude-server-log -d 'Leave out lines of the server itself, as of Gunicorn\'s error log, that stand among access lines; without it they are kept as rejected lines' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand hash-password" -l host -d 'The host whose logs these are [default: this host\'s name]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand hash-password" -l config -d 'A TOML file with any of these settings; /dev/null is none [default: /etc/log-ingestd/config.toml, the installed service\'s, if it is there]' -r -F
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand hash-password" -l log-format -d 'How the program\'s own log is written, on standard error [default: human]' -r -f -a "human\t''
json\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand hash-password" -l log-level -d 'error, warn, info, debug or trace [default: info to follow or serve, else warn]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand hash-password" -l token -d 'It is a program\'s token, sent as \'Authorization: Bearer\', for /metrics, /readyz and /healthz'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand hash-password" -s h -l help -d 'Print help'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand healthcheck" -l listen -d 'Where the page and the metrics are; \'off\' for nowhere [default: 127.0.0.1:8686]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand healthcheck" -l tls-cert -d 'The page\'s certificate with those of its authorities after it (PEM): the page has TLS. healthcheck only needs to know that there is one' -r -F
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand healthcheck" -l database-url -d 'The database: postgres://user@host:5432/name or sqlite:/path [default: an SQLite file in the user\'s state directory]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand healthcheck" -l connect-timeout -d 'How long to try to reach the database at the start [default: 10s]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand healthcheck" -l format -d 'A preset\'s name, or the format in the dialect of Gunicorn, nginx or Apache. One is for all files; of several, each is for the --watch before it [default: told from each file\'s lines]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand healthcheck" -l retention -d 'How long rows stay, for example 120d or 36h; \'off\' keeps them [default: 120d]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand healthcheck" -l rollup-retention -d 'How long counts by minute and hour stay, which charts read; \'off\' keeps them [default: 400d, or as long as the rows]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand healthcheck" -l sensitive-fields -d 'Query parameters, headers and keys of JSON whose values are stored as ********, besides all whose names mean a secret; \'\' hides none [default: password,token,access_key,secret]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand healthcheck" -l masking -d 'Whether names that mean a secret and values that look like one are hidden, or exactly the names in --sensitive-fields [default: meaning]' -r -f -a "meaning\t''
exact\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand healthcheck" -l keep-raw-rejects -d 'Keep the exact bytes of rejected lines, with the secrets in them; without it they are masked as rows are' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand healthcheck" -l exclude-path -d 'Leave out requests whose path begins so, for example /health/; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand healthcheck" -l exclude-extension -d 'Leave out requests whose path ends so, for example .css; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand healthcheck" -l exclude-server-log -d 'Leave out lines of the server itself, as of Gunicorn\'s error log, that stand among access lines; without it they are kept as rejected lines' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand healthcheck" -l host -d 'The host whose logs these are [default: this host\'s name]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand healthcheck" -l config -d 'A TOML file with any of these settings; /dev/null is none [default: /etc/log-ingestd/config.toml, the installed service\'s, if it is there]' -r -F
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand healthcheck" -l log-format -d 'How the program\'s own log is written, on standard error [default: human]' -r -f -a "human\t''
json\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand healthcheck" -l log-level -d 'error, warn, info, debug or trace [default: info to follow or serve, else warn]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand healthcheck" -l ready -d 'Ask whether it can store lines, too: not while its database is unavailable'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand healthcheck" -s h -l help -d 'Print help'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand doctor" -l watch -d 'Directories, files, FIFOs or patterns to follow; - is standard input; may be given several times, each with a --format after it if there are several formats [env: LOG_INGESTD_WATCH, several separated by colons]' -r -F
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand doctor" -l include -d 'Follow only names that match this pattern, for example \'access*\'; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand doctor" -l exclude -d 'Never follow names that match this pattern; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand doctor" -l follow-symlinks -d 'Follow every symbolic link in a watched directory or below a pattern; without it only those of root, of this user and of the owner of what they lead to, and those to what is watched itself' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand doctor" -l spool-dir -d 'Where what comes from standard input and FIFOs is kept until it is stored [default: spool beside the default SQLite file]' -r -F
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand doctor" -l spool-limit -d 'How much may be kept there while the database is unavailable; then the writers wait [default: 1GiB]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand doctor" -l database-url -d 'The database: postgres://user@host:5432/name or sqlite:/path [default: an SQLite file in the user\'s state directory]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand doctor" -l connect-timeout -d 'How long to try to reach the database at the start [default: 10s]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand doctor" -l format -d 'A preset\'s name, or the format in the dialect of Gunicorn, nginx or Apache. One is for all files; of several, each is for the --watch before it [default: told from each file\'s lines]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand doctor" -l retention -d 'How long rows stay, for example 120d or 36h; \'off\' keeps them [default: 120d]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand doctor" -l rollup-retention -d 'How long counts by minute and hour stay, which charts read; \'off\' keeps them [default: 400d, or as long as the rows]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand doctor" -l sensitive-fields -d 'Query parameters, headers and keys of JSON whose values are stored as ********, besides all whose names mean a secret; \'\' hides none [default: password,token,access_key,secret]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand doctor" -l masking -d 'Whether names that mean a secret and values that look like one are hidden, or exactly the names in --sensitive-fields [default: meaning]' -r -f -a "meaning\t''
exact\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand doctor" -l keep-raw-rejects -d 'Keep the exact bytes of rejected lines, with the secrets in them; without it they are masked as rows are' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand doctor" -l exclude-path -d 'Leave out requests whose path begins so, for example /health/; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand doctor" -l exclude-extension -d 'Leave out requests whose path ends so, for example .css; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand doctor" -l exclude-server-log -d 'Leave out lines of the server itself, as of Gunicorn\'s error log, that stand among access lines; without it they are kept as rejected lines' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand doctor" -l host -d 'The host whose logs these are [default: this host\'s name]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand doctor" -l config -d 'A TOML file with any of these settings; /dev/null is none [default: /etc/log-ingestd/config.toml, the installed service\'s, if it is there]' -r -F
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand doctor" -l log-format -d 'How the program\'s own log is written, on standard error [default: human]' -r -f -a "human\t''
json\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand doctor" -l log-level -d 'error, warn, info, debug or trace [default: info to follow or serve, else warn]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand doctor" -l json -d 'Print the findings as one JSON object'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand completions" -l database-url -d 'The database: postgres://user@host:5432/name or sqlite:/path [default: an SQLite file in the user\'s state directory]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand completions" -l connect-timeout -d 'How long to try to reach the database at the start [default: 10s]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand completions" -l format -d 'A preset\'s name, or the format in the dialect of Gunicorn, nginx or Apache. One is for all files; of several, each is for the --watch before it [default: told from each file\'s lines]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand completions" -l retention -d 'How long rows stay, for example 120d or 36h; \'off\' keeps them [default: 120d]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand completions" -l rollup-retention -d 'How long counts by minute and hour stay, which charts read; \'off\' keeps them [default: 400d, or as long as the rows]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand completions" -l sensitive-fields -d 'Query parameters, headers and keys of JSON whose values are stored as ********, besides all whose names mean a secret; \'\' hides none [default: password,token,access_key,secret]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand completions" -l masking -d 'Whether names that mean a secret and values that look like one are hidden, or exactly the names in --sensitive-fields [default: meaning]' -r -f -a "meaning\t''
exact\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand completions" -l keep-raw-rejects -d 'Keep the exact bytes of rejected lines, with the secrets in them; without it they are masked as rows are' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand completions" -l exclude-path -d 'Leave out requests whose path begins so, for example /health/; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand completions" -l exclude-extension -d 'Leave out requests whose path ends so, for example .css; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand completions" -l exclude-server-log -d 'Leave out lines of the server itself, as of Gunicorn\'s error log, that stand among access lines; without it they are kept as rejected lines' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand completions" -l host -d 'The host whose logs these are [default: this host\'s name]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand completions" -l config -d 'A TOML file with any of these settings; /dev/null is none [default: /etc/log-ingestd/config.toml, the installed service\'s, if it is there]' -r -F
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand completions" -l log-format -d 'How the program\'s own log is written, on standard error [default: human]' -r -f -a "human\t''
json\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand completions" -l log-level -d 'error, warn, info, debug or trace [default: info to follow or serve, else warn]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand completions" -s h -l help -d 'Print help'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand man" -l database-url -d 'The database: postgres://user@host:5432/name or sqlite:/path [default: an SQLite file in the user\'s state directory]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand man" -l connect-timeout -d 'How long to try to reach the database at the start [default: 10s]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand man" -l format -d 'A preset\'s name, or the format in the dialect of Gunicorn, nginx or Apache. One is for all files; of several, each is for the --watch before it [default: told from each file\'s lines]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand man" -l retention -d 'How long rows stay, for example 120d or 36h; \'off\' keeps them [default: 120d]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand man" -l rollup-retention -d 'How long counts by minute and hour stay, which charts read; \'off\' keeps them [default: 400d, or as long as the rows]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand man" -l sensitive-fields -d 'Query parameters, headers and keys of JSON whose values are stored as ********, besides all whose names mean a secret; \'\' hides none [default: password,token,access_key,secret]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand man" -l masking -d 'Whether names that mean a secret and values that look like one are hidden, or exactly the names in --sensitive-fields [default: meaning]' -r -f -a "meaning\t''
exact\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand man" -l keep-raw-rejects -d 'Keep the exact bytes of rejected lines, with the secrets in them; without it they are masked as rows are' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand man" -l exclude-path -d 'Leave out requests whose path begins so, for example /health/; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand man" -l exclude-extension -d 'Leave out requests whose path ends so, for example .css; may be repeated' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand man" -l exclude-server-log -d 'Leave out lines of the server itself, as of Gunicorn\'s error log, that stand among access lines; without it they are kept as rejected lines' -r -f -a "true\t''
false\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand man" -l host -d 'The host whose logs these are [default: this host\'s name]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand man" -l config -d 'A TOML file with any of these settings; /dev/null is none [default: /etc/log-ingestd/config.toml, the installed service\'s, if it is there]' -r -F
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand man" -l log-format -d 'How the program\'s own log is written, on standard error [default: human]' -r -f -a "human\t''
json\t''"
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand man" -l log-level -d 'error, warn, info, debug or trace [default: info to follow or serve, else warn]' -r
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand man" -s h -l help -d 'Print help'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand help; and not __fish_seen_subcommand_from watch serve import check status query top report verify export reparse forget cleanup migrate copy rename-host hash-password healthcheck doctor completions man help" -f -a "watch" -d 'Follow logs until SIGTERM, and store each of their lines once: the same as --watch'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand help; and not __fish_seen_subcommand_from watch serve import check status query top report verify export reparse forget cleanup migrate copy rename-host hash-password healthcheck doctor completions man help" -f -a "serve" -d 'Serve the page, and follow nothing'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand help; and not __fish_seen_subcommand_from watch serve import check status query top report verify export reparse forget cleanup migrate copy rename-host hash-password healthcheck doctor completions man help" -f -a "import" -d 'Store whole files, plain or compressed (gzip, zstd, xz, bzip2), and exit'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand help; and not __fish_seen_subcommand_from watch serve import check status query top report verify export reparse forget cleanup migrate copy rename-host hash-password healthcheck doctor completions man help" -f -a "check" -d 'Parse a file without storing anything: fields of its first lines, counts, reasons'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand help; and not __fish_seen_subcommand_from watch serve import check status query top report verify export reparse forget cleanup migrate copy rename-host hash-password healthcheck doctor completions man help" -f -a "status" -d 'Show files, offsets, lag, rejects and sweeps, and which files are ignored and why'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand help; and not __fish_seen_subcommand_from watch serve import check status query top report verify export reparse forget cleanup migrate copy rename-host hash-password healthcheck doctor completions man help" -f -a "query" -d 'Print stored rows: a table, JSON lines, CSV, or an access log again'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand help; and not __fish_seen_subcommand_from watch serve import check status query top report verify export reparse forget cleanup migrate copy rename-host hash-password healthcheck doctor completions man help" -f -a "top" -d 'Print the most frequent URLs, users, addresses, agents or hosts, or the slowest URLs'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand help; and not __fish_seen_subcommand_from watch serve import check status query top report verify export reparse forget cleanup migrate copy rename-host hash-password healthcheck doctor completions man help" -f -a "report" -d 'Write the page\'s overview of a range into one HTML file: numbers, charts, lists, errors, and what was not stored'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand help; and not __fish_seen_subcommand_from watch serve import check status query top report verify export reparse forget cleanup migrate copy rename-host hash-password healthcheck doctor completions man help" -f -a "verify" -d 'Hold files against the database: digest, counts, and each line against its row'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand help; and not __fish_seen_subcommand_from watch serve import check status query top report verify export reparse forget cleanup migrate copy rename-host hash-password healthcheck doctor completions man help" -f -a "export" -d 'Write a log back byte for byte, from what is stored of it, to standard output; where that is not for certain the log, standard error says so, and the exit code is 1'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand help; and not __fish_seen_subcommand_from watch serve import check status query top report verify export reparse forget cleanup migrate copy rename-host hash-password healthcheck doctor completions man help" -f -a "reparse" -d 'Read stored lines once more, by the format of their file or by --format: rejected ones, of which those that can be read become rows; with --rows, all lines of files that are still there'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand help; and not __fish_seen_subcommand_from watch serve import check status query top report verify export reparse forget cleanup migrate copy rename-host hash-password healthcheck doctor completions man help" -f -a "forget" -d 'Remove all that is stored of a file, so that it can be imported again, by another format perhaps; stop its daemon first'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand help; and not __fish_seen_subcommand_from watch serve import check status query top report verify export reparse forget cleanup migrate copy rename-host hash-password healthcheck doctor completions man help" -f -a "cleanup" -d 'Sweep old rows now'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand help; and not __fish_seen_subcommand_from watch serve import check status query top report verify export reparse forget cleanup migrate copy rename-host hash-password healthcheck doctor completions man help" -f -a "migrate" -d 'Make the tables, or bring them to this program\'s schema, and exit; daemons that are older stop'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand help; and not __fish_seen_subcommand_from watch serve import check status query top report verify export reparse forget cleanup migrate copy rename-host hash-password healthcheck doctor completions man help" -f -a "copy" -d 'Copy everything from one database to another, compare both, and exit; stop the daemons first'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand help; and not __fish_seen_subcommand_from watch serve import check status query top report verify export reparse forget cleanup migrate copy rename-host hash-password healthcheck doctor completions man help" -f -a "rename-host" -d 'Move the logs of a host that was renamed to its new name, and exit; stop its daemon first'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand help; and not __fish_seen_subcommand_from watch serve import check status query top report verify export reparse forget cleanup migrate copy rename-host hash-password healthcheck doctor completions man help" -f -a "hash-password" -d 'Print a line for --auth-file, of a password that is read from the terminal or from standard input'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand help; and not __fish_seen_subcommand_from watch serve import check status query top report verify export reparse forget cleanup migrate copy rename-host hash-password healthcheck doctor completions man help" -f -a "healthcheck" -d 'Ask a daemon of this machine at --listen whether it lives: exit code 0, or 1 and why not'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand help; and not __fish_seen_subcommand_from watch serve import check status query top report verify export reparse forget cleanup migrate copy rename-host hash-password healthcheck doctor completions man help" -f -a "doctor" -d 'Examine database, rights, formats, clock, disk and spool: exit code 0, or 1 with what to do about each finding'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand help; and not __fish_seen_subcommand_from watch serve import check status query top report verify export reparse forget cleanup migrate copy rename-host hash-password healthcheck doctor completions man help" -f -a "completions" -d 'Print the script by which a shell completes this program\'s commands and flags'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand help; and not __fish_seen_subcommand_from watch serve import check status query top report verify export reparse forget cleanup migrate copy rename-host hash-password healthcheck doctor completions man help" -f -a "man" -d 'Write the manual\'s pages into a directory'
complete -c log-ingestd -n "__fish_log_ingestd_using_subcommand help; and not __fish_seen_subcommand_from watch serve import check status query top report verify export reparse forget cleanup migrate copy rename-host hash-password healthcheck doctor completions man help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
