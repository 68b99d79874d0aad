# The verbs about volumes: docker's flags, filters, columns and refusals; kills at random instants.

bats_require_minimum_version 1.5.0
load helpers

setup() {
    hull_program=$("$HULL_SOURCE/scripts/program" "$HULL_BUILD" hull)
    root=$BATS_TEST_TMPDIR/root
}

hull() { "$hull_program" --root "$root" --run-root "$BATS_TEST_TMPDIR/run" "$@" </dev/null; }

# What the engine notes when it makes a container.
use() { # VOLUME CONTAINER
    sqlite3 "$root/hull.db" "INSERT INTO volume_use (volume, container) VALUES ('$1', '$2')"
}

@test "create makes a directory that any program may use, and prints the name" {
    umask 077
    run hull volume create data
    [ "$status" = 0 ]
    [ "$output" = data ]
    [ "$(stat -c %a "$root/volumes/data/_data")" = 755 ]
    [ "$(stat -c %a "$root/hull.db")" = 600 ]
    touch "$root/volumes/data/_data/kept"
    run hull volume create data
    [ "$status" = 0 ]
    [ "$output" = data ]
    [ -e "$root/volumes/data/_data/kept" ]
}

@test "without a name it is a random one, and the volume anonymous" {
    run hull volume create
    [ "$status" = 0 ]
    [[ $output =~ ^[0-9a-f]{64}$ ]]
    [ "$(hull volume inspect -f '{{json .Labels}}' "$output")" = '{"com.docker.volume.anonymous":""}' ]
    [ "$(hull volume ls -q)" = "$output" ]
    # inspect is content with its beginning.
    [ "$(hull volume inspect -f '{{.Name}}' "${output:0:8}")" = "$output" ]
}

@test "what create doesn't understand makes nothing" {
    run hull volume create ../x
    [ "$status" = 1 ]
    [[ $output == "hull: volume create: volume '../x': a name begins with a letter or digit"* ]]
    run hull volume create -d nfs x
    [ "$status" = 1 ]
    [ "$output" = "hull: volume create: volume driver 'nfs': there is only local" ]
    run hull volume create -o size=1g x
    [ "$status" = 1 ]
    [[ $output == *"volume option 'size': the driver local knows type, device and o" ]]
    run hull volume create -o type=tmpfs x
    [ "$status" = 1 ]
    [[ $output == *"both type and device are needed"* ]]
    run hull volume create --label =x x
    [ "$status" = 1 ]
    [[ $output == *"--label '=x': the key is missing (KEY=VALUE)" ]]
    run hull volume create --label $'a=\xff' x
    [ "$status" = 1 ]
    [[ $output == *"this isn't UTF-8" ]]
    run hull volume create a b
    [ "$status" = 125 ]
    run hull volume create --name a b
    [ "$status" = 1 ]
    [ "$(hull volume ls -q)" = "" ]
    [ ! -e "$BATS_TEST_TMPDIR/x" ]
}

@test "a volume that exists with other options is refused, and stays" {
    hull volume create -o type=tmpfs -o device=tmpfs -o o=size=1m v
    run hull volume create -o type=tmpfs -o device=tmpfs v
    [ "$status" = 1 ]
    [[ $output == *"volume 'v' exists with other options (remove it first)" ]]
    run hull volume create v
    [ "$output" = v ]
    [ "$(hull volume inspect v | jq -c '.[0].Options')" = '{"device":"tmpfs","o":"size=1m","type":"tmpfs"}' ]
}

@test "inspect prints docker's document, of a relative root too" {
    cd "$BATS_TEST_TMPDIR"
    root=root
    hull volume create --label a=1 --label b one >/dev/null
    hull volume create two >/dev/null
    hull volume inspect one two >document
    [ "$(jq -c '[.[].Name]' document)" = '["one","two"]' ]
    [ "$(jq -c '.[0] | keys' document)" = \
        '["CreatedAt","Driver","Labels","Mountpoint","Name","Options","Scope"]' ]
    [ "$(jq -c '.[0].Labels' document)" = '{"a":"1","b":""}' ]
    [ "$(jq -r '.[0].Mountpoint' document)" = "$BATS_TEST_TMPDIR/root/volumes/one/_data" ]
    [ "$(jq -r '.[0].Driver + .[0].Scope' document)" = locallocal ]
    [ "$(jq -c '.[1].Options' document)" = null ]
    local created
    created=$(date -d "$(jq -r '.[0].CreatedAt' document)" +%s)
    [ "$created" -le "$(date +%s)" ]
    [ "$created" -gt $(($(date +%s) - 60)) ]
    [ "$(hull volume inspect --format '{{.Name}} {{index .Labels "a"}}' one)" = "one 1" ]
}

@test "inspect shows what there is of several, and fails for the rest" {
    hull volume create one >/dev/null
    run --separate-stderr hull volume inspect none one no
    [ "$status" = 1 ]
    [ "$(jq -c '[.[].Name]' <<<"$output")" = '["one"]' ]
    [[ $stderr == *"no such volume: none"* ]]
    [[ $stderr == *"hull: volume inspect: no such volume: no" ]]
    run --separate-stderr hull volume inspect none
    [ "$status" = 1 ]
    [ "$output" = "[]" ]
}

@test "ls has docker's columns and formats" {
    run hull volume ls
    [ "$status" = 0 ]
    [ "$output" = "DRIVER    VOLUME NAME" ]
    hull volume create --label x=1 --label y=2 b >/dev/null
    hull volume create a >/dev/null
    run hull volume ls
    [ "${#lines[@]}" = 3 ]
    [ "${lines[1]}" = "local     a" ]
    [ "${lines[2]}" = "local     b" ]
    [ "$(hull volume list --quiet)" = $'a\nb' ]
    [ "$(hull volume ls --format '{{.Name}}|{{.Driver}}|{{.Labels}}|{{.Label "y"}}|{{.Scope}}')" = \
        $'a|local|||local\nb|local|x=1,y=2|2|local' ]
    [ "$(hull volume ls --format 'table {{.Name}}\t{{.Scope}}' | head -n 1)" = "VOLUME NAME   SCOPE" ]
    [ "$(hull volume ls --format json -f name=a)" = '{"Availability":"N/A","Driver":"local","Group":"N/A","Labels":"","Links":"N/A","Mountpoint":"'"$root"'/volumes/a/_data","Name":"a","Scope":"local","Size":"N/A","Status":"N/A"}' ]
    run hull volume ls --format '{{.Nothing}}'
    [ "$status" = 1 ]
}

@test "ls has docker's filters" {
    hull volume create --label kind=db --label old web-1 >/dev/null
    hull volume create --label kind=db web-2 >/dev/null
    hull volume create other >/dev/null
    use web-1 0123456789abcdef
    [ "$(hull volume ls -q -f name=web)" = $'web-1\nweb-2' ]
    [ "$(hull volume ls -q -f name='^web-.$' -f name=oth)" = $'other\nweb-1\nweb-2' ]
    [ "$(hull volume ls -q -f name='^web$')" = "" ]
    [ "$(hull volume ls -q -f label=kind)" = $'web-1\nweb-2' ]
    [ "$(hull volume ls -q -f label=kind=db -f label=old)" = web-1 ]
    [ "$(hull volume ls -q -f label=kind=web)" = "" ]
    [ "$(hull volume ls -q -f dangling=true)" = $'other\nweb-2' ]
    [ "$(hull volume ls -q -f dangling=0)" = web-1 ]
    [ "$(hull volume ls -q -f driver=local -f driver=x -f name=other)" = other ]
    [ "$(hull volume ls -q -f driver=x)" = "" ]
    run hull volume ls -f size=1
    [ "$status" = 1 ]
    [[ $output == *"invalid filter 'size=1' (KEY=VALUE, with one of: dangling driver label name)" ]]
    run hull volume ls -f dangling=perhaps
    [ "$status" = 1 ]
    run hull volume ls -f 'name=(a'
    [ "$status" = 1 ]
}

@test "rm removes data and row, and goes on after what fails" {
    local v
    for v in a b c; do hull volume create "$v" >/dev/null; done
    mkdir "$root/volumes/a/_data/below"
    touch "$root/volumes/a/_data/below/file"
    use b 0123456789abcdef0123456789abcdef
    run --separate-stderr hull volume rm a b none c
    [ "$status" = 1 ]
    [ "$output" = $'a\nc' ]
    [[ $stderr == *"volume 'b' is used by container 0123456789ab (remove that first)"* ]]
    [[ $stderr == *"hull: volume rm: no such volume: none" ]]
    [ "$(hull volume ls -q)" = b ]
    [ "$(ls -A "$root/volumes")" = b ]
    run hull volume rm --force b
    [ "$status" = 1 ]
    [ -d "$root/volumes/b/_data" ]
    run hull volume remove -f none
    [ "$status" = 0 ]
    [ "$output" = none ]
}

@test "prune removes anonymous volumes that nobody uses, all of them with --all" {
    local anonymous used
    anonymous=$(hull volume create)
    used=$(hull volume create)
    hull volume create named >/dev/null
    hull volume create --label keep kept >/dev/null
    use "$used" 0123456789abcdef
    head -c 2000000 /dev/zero >"$root/volumes/$anonymous/_data/file"
    run hull volume prune
    [ "$status" = 0 ]
    [[ $output == "WARNING! This will remove anonymous local volumes not used by at least one container."*"[y/N] " ]]
    [ "$(hull volume ls -q | wc -l)" = 4 ]
    run hull volume prune --force
    [ "$status" = 0 ]
    [ "$output" = "Deleted Volumes:
$anonymous

Total reclaimed space: 2MB" ]
    run hull volume prune --all --force --filter label!=keep
    [ "${lines[1]}" = named ]
    [ "${lines[2]}" = "Total reclaimed space: 0B" ]
    run hull volume prune -af --filter label=keep
    [ "${lines[1]}" = kept ]
    [ "$(hull volume ls -q)" = "$used" ]
    run hull volume prune -f --filter until=1h
    [ "$status" = 1 ]
    run "$hull_program" --root "$root" volume prune -a <<<y
    [[ $output == *"Total reclaimed space: 0B" ]]
}

@test "a damaged database is reported, and left as it is" {
    hull volume create v >/dev/null
    printf 'no database at all, but some text' >"$root/hull.db"
    cp "$root/hull.db" "$BATS_TEST_TMPDIR/copy"
    run hull volume ls
    [ "$status" = 1 ]
    [[ $output == "hull: volume ls: database $root/hull.db: "*"the file is damaged; restore it from a copy"* ]]
    cmp "$root/hull.db" "$BATS_TEST_TMPDIR/copy"
    [ -d "$root/volumes/v/_data" ]
}

@test "twenty at once make one volume, and twenty volumes" {
    local i pids=()
    for i in $(seq 20); do
        hull volume create same >"$BATS_TEST_TMPDIR/out.$i" 2>&1 3>&- &
        pids+=($!)
        hull volume create "v$i" >"$BATS_TEST_TMPDIR/out.v$i" 2>&1 3>&- &
        pids+=($!)
    done
    for i in "${pids[@]}"; do
        wait "$i" || { cat "$BATS_TEST_TMPDIR"/out.* && return 1; }
    done
    [ "$(cat "$BATS_TEST_TMPDIR"/out.[0-9]* | sort -u)" = same ]
    [ "$(hull volume ls -q | wc -l)" = 21 ]
}

# Creates and removes for ever.
work() {
    while :; do
        hull volume create v >/dev/null
        mkdir -p "$root/volumes/v/_data/a/b/c" && touch "$root/volumes/v/_data/a/b/file"
        hull volume rm v >/dev/null
        hull volume create >/dev/null
        hull volume prune -f >/dev/null
    done 2>/dev/null
}

@test "a kill at any instant leaves nothing that prune doesn't remove" {
    local i process child
    RANDOM=${HULL_SEED:-1}
    for i in $(seq 40); do
        work 3>&- &
        process=$!
        sleep "0.0$((RANDOM % 90 + 10))"
        # The shell first, so that it starts no other; then what it was running.
        kill -STOP "$process"
        child=$(pgrep -P "$process" | tr '\n' ' ')
        kill -KILL $process $child 2>/dev/null || true
        wait "$process" || true
    done
    hull volume create after >/dev/null
    run hull volume prune --all --force
    [ "$status" = 0 ]
    [ "$(hull volume ls -q)" = "" ]
    [ "$(ls -A "$root/volumes")" = "" ]
    [ "$(sqlite3 "$root/hull.db" 'PRAGMA integrity_check')" = ok ]
}
