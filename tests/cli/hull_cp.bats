# Files into and out of containers: cp, diff, export, commit.
load hull

start_web() { hull run -d --network none --name web "$@" busybox sleep 1000 >/dev/null; }
inside() { hull exec web sh -c "$1"; }
copy() { hull cp -q "$@"; }

@test "cp out: docker's rules of names" {
    start_web
    inside 'mkdir -p /d/sub; echo f >/d/file; echo s >/d/sub/s; ln -s file /d/link; ln -s d /dl'
    copy web:/d/file .
    equals f "$(cat file)"
    copy web:/d/file other
    equals f "$(cat other)"
    mkdir there
    copy web:/d/file there
    copy web:/d there
    equals 's f file' "$(cat there/d/sub/s there/file | tr '\n' ' ')$(readlink there/d/link)"
    copy web:/d new
    equals s "$(cat new/sub/s)"
    mkdir contents
    copy web:/d/. contents
    equals s "$(cat contents/sub/s)"
    # A link is a link, but with -L or as a directory.
    copy web:/d/link link
    equals file "$(readlink link)"
    copy -L web:/d/link followed
    equals f "$(cat followed)"
    copy web:/dl/ through
    equals f "$(cat through/file)"
    copy web:d/file relative
    equals f "$(cat relative)"
    run_hull cp web:/d file
    refused 1 "can't copy the directory"
    run_hull cp web:/d/file missing/
    refused 1 'missing/'
    run_hull cp web:/d/file missing/x
    refused 1 "can't open the directory"
    run_hull cp web:/nothing .
    refused 1 "can't find web:/nothing"
    run_hull cp web:/d/file/ .
    refused 1 'Not a directory'
    run_hull cp nobody:/d .
    refused 1 'no such container'
    run_hull cp web:/d web:/e
    refused 1 'between containers'
    run_hull cp ./a ./b
    refused 1 'CONTAINER:PATH'
    run_hull cp web:/d/file last
    contains 'Successfully copied' "$stderr"
    equals '' "$output"
}

@test "cp in: names, owners, running and stopped" {
    start_web
    mkdir -p d/sub
    echo f >d/file
    echo s >d/sub/s
    chown 12:34 d/file
    chmod 4751 d/file
    copy d web:/new
    copy d web:/new
    equals $'f\ns\nf' "$(inside 'cat /new/file /new/sub/s /new/d/file')"
    equals '4751 0:0' "$(inside 'stat -c "%a %u:%g" /new/file')"
    copy -a d web:/owned
    equals 12:34 "$(inside 'stat -c %u:%g /owned/file')"
    copy d/. web:/tmp
    equals s "$(inside 'cat /tmp/sub/s')"
    copy d/file web:/tmp/
    copy d/file web:/etc/passwd
    equals f "$(inside 'cat /etc/passwd')"
    run_hull cp d web:/etc/passwd
    refused 1 "can't copy the directory"
    run_hull cp d/file web:/no/where
    refused 1 "can't open the directory of web:/no/where"
    # What is a directory here and a file there is neither.
    inside 'mkdir -p /clash/d/file'
    run_hull cp d web:/clash
    equals 1 "$status"
    # Through links of the container, inside of it.
    inside 'mkdir /real; ln -s /real /away; ln -s /real/target /dangling'
    copy d/file web:/away/x
    copy d/file web:/dangling
    equals $'f\nf' "$(inside 'cat /real/x /real/target')"
    hull kill web
    hull wait web
    copy d/sub/s web:/stopped
    copy web:/stopped back
    equals s "$(cat back)"
    hull start web
    equals s "$(inside 'cat /stopped')"
}

@test "cp in volumes, and not onto what is read-only" {
    start_web --read-only -v data:/data --tmpfs /scratch
    echo x >x
    copy x web:/data
    equals x "$(inside 'cat /data/x')"
    copy x web:/scratch
    equals x "$(inside 'cat /scratch/x')"
    run_hull cp x web:/etc
    refused 1 'Read-only file system'
    hull kill web
    hull wait web
    copy web:/data/x again
    equals x "$(cat again)"
    copy x web:/data/y
    run_hull cp x web:/etc
    refused 1 'Read-only file system'
    equals x "$(hull run --rm --network none -v data:/data busybox cat /data/y)"
}

@test "cp - is a tar" {
    start_web
    inside 'mkdir -p /d/sub; echo s >/d/sub/s'
    equals $'d/\nd/sub/\nd/sub/s' "$(hull cp web:/d - | tar t)"
    equals $'./\nsub/\nsub/s' "$(hull cp web:/d/. - | tar t)"
    mkdir -p t/u
    echo v >t/u/v
    tar c t | hull cp - web:/tmp
    equals v "$(inside 'cat /tmp/t/u/v')"
    tar cz t | hull cp - web:/home
    equals v "$(inside 'cat /home/t/u/v')"
    run hull cp - web:/etc/passwd < <(tar c t)
    failed_with 1 'Not a directory'
    run hull cp - web:/nowhere < <(tar c t)
    failed_with 1 'No such file'
    run hull cp - web:/tmp < <(head -c 5000 /dev/urandom)
    equals 1 "$status"
    # One that wants out.
    mkdir evil
    touch evil/x
    tar -P --transform 's,^evil/x,../../../../escaped,' -cf evil.tar evil/x
    run hull cp - web:/tmp <evil.tar
    [ ! -e /escaped ] && [ ! -e "$root/escaped" ]
}

@test "cp of special files, sparse files, odd names" {
    start_web
    inside 'mkdir /d; mkfifo /d/fifo; mknod /d/null c 1 3; ln /bin/busybox /d/hard; ln /d/hard /d/hard2
        truncate -s 100M /d/sparse; echo end >>/d/sparse; touch "/d/two words" "/d/$(printf "new\nline")" "/d/$(printf "\377")"
        mkdir -m 0 /d/closed; chmod 1777 /d; touch -d "2001-02-03 04:05:06" /d/old'
    timeout 30 nsenter --net="/run/netns/$net" "$HULL" --root "$root" --run-root "$run_root" cp -q web:/d out
    [ -p out/fifo ] && [ -c out/null ] && [ out/hard -ef out/hard2 ]
    equals 104857604 "$(stat -c %s out/sparse)"
    [ "$(stat -c %b out/sparse)" -lt 2000 ]
    equals end "$(tail -c 4 out/sparse)"
    equals '0 1777' "$(stat -c %a out/closed) $(stat -c %a out)"
    equals 2001 "$(date -r out/old +%Y)"
    [ -e "out/two words" ] && [ -e out/$'new\nline' ] && [ -e out/$'\377' ]
    # Neither a hole of any size nor what is between holes makes a difference.
    inside 'truncate -s 4000G /huge; echo end >>/huge
        for i in 0 3 4 9 200; do dd if=/dev/urandom of=/mixed bs=70000 seek=$i count=1 conv=notrunc; done; truncate -s 90M /mixed' 2>/dev/null
    copy web:/huge .
    equals 4294967296004 "$(stat -c %s huge)"
    rm huge
    copy web:/mixed .
    equals "$(inside 'sha256sum </mixed')" "$(sha256sum <mixed)"
    [ "$(stat -c %b mixed)" -lt 2000 ]
    copy web:/d/fifo one
    [ -p one ]
    copy out web:/back
    equals 104857604 "$(inside 'stat -c %s /back/sparse')"
    [ "$(inside 'stat -c %b /back/sparse')" -lt 2000 ]
    [ "$(inside 'test -p /back/fifo && test -c /back/null && echo yes')" = yes ]
}

@test "a hostile container can't lead cp outside" {
    start_web
    echo secret >"$BATS_TEST_TMPDIR/secret"
    echo host >"$BATS_TEST_TMPDIR/victim"
    inside "ln -s ../../../../../../../..$BATS_TEST_TMPDIR/secret /up; ln -s $BATS_TEST_TMPDIR /abs
        mkdir /t; ln -s ../../../../../../../../etc/passwd /t/passwd; ln -s /proc/1/root /t/procroot; echo inner >/inner"
    run_hull cp -L web:/up got
    equals 1 "$status"
    [ ! -e got ]
    run_hull cp web:/abs/secret got
    equals 1 "$status"
    run_hull cp -L web:/t/passwd passwd
    succeeded
    equals "$(inside 'cat /etc/passwd')" "$(cat passwd)"
    run_hull cp web:/t/procroot/inner got
    [ ! -e got ] || equals inner "$(cat got)"
    echo new >x
    run_hull cp x web:/abs/victim
    equals 1 "$status"
    run_hull cp x web:/up
    equals host "$(cat victim)"
    equals secret "$(cat secret)"
    # While it exchanges a directory and a link to the host's, all the time.
    hull exec -d web sh -c "mkdir -p /race/a; echo good >/race/a/secret; ln -s $BATS_TEST_TMPDIR /race/b
        while :; do mv /race/a /race/c; mv /race/b /race/a; mv /race/a /race/b; mv /race/c /race/a; done"
    local i
    for i in $(seq 40); do
        hull cp -q web:/race/a/secret "got-$i" 2>/dev/null || true
        [ ! -f "got-$i" ] || equals good "$(cat "got-$i")"
        hull cp -q x web:/race/a/victim 2>/dev/null || true
    done
    equals host "$(cat victim)"
    ls got-* >/dev/null
}

@test "diff" {
    start_web
    equals '' "$(hull diff web)"
    inside 'echo x >/new; mkdir /dir; echo y >/dir/y; rm /etc/group; echo z >>/etc/passwd; chmod 700 /home
        rm -r /var; mkdir /var; touch /var/again; rm /new; touch /tmp/$(printf "\377")'
    equals $'A /dir\nA /dir/y\nC /etc\nD /etc/group\nC /etc/passwd\nC /home\nC /tmp\nA /tmp/\377\nC /var\nA /var/again\nD /var/spool\nD /var/www' \
        "$(hull diff web)"
    [[ "$(hull diff web)" != *new* ]]
    run_hull diff nobody
    refused 1 'no such container'
}

@test "export, running and stopped" {
    start_web -v data:/data
    inside 'echo x >/x; echo v >/data/v'
    hull export web >running.tar
    hull kill web
    hull wait web
    hull export -o stopped.tar web
    local tar
    for tar in running.tar stopped.tar; do
        contains bin/busybox "$(tar tf "$tar")"
        equals x "$(tar xOf "$tar" x)"
        [[ "$(tar tf "$tar")" != *data/v* ]]
        [[ "$(tar tf "$tar")" != *proc/1* ]]
    done
    run_hull export -o missing/x web
    equals 1 "$status"
    hull import stopped.tar again:1 >/dev/null
    equals x "$(hull run --rm --network none again:1 cat /x)"
}

@test "commit" {
    start_web -e A=1 -l tier=front -w /tmp
    inside 'echo x >/x; rm /etc/group'
    run_hull commit -a me -m 'a message' -c 'CMD ["cat", "/x"]' -c 'ENV B=2' web mine
    succeeded
    equals "$(hull inspect -f '{{.Id}}' mine)" "$output"
    equals x "$(hull run --rm --network none mine)"
    equals '1 2 /tmp gone' "$(hull run --rm --network none mine sh -c 'echo $A $B $PWD; test -e /etc/group || echo gone' | tr '\n' ' ' | sed 's/ $//')"
    equals 'me front a message' "$(hull inspect -f '{{.Author}} {{.Config.Labels.tier}} {{.Comment}}' mine)"
    equals running "$(hull inspect -f '{{.State.Status}}' web)"
    run_hull commit web 'Not A Name'
    equals 1 "$status"
    run_hull commit -c 'FROM x' web
    equals 1 "$status"
    hull kill web
    hull wait web
    hull commit web again:2 >/dev/null
    hull system check
}

@test "a full disk during commit leaves the store as it was" {
    mkdir small
    mount -t tmpfs -o size=24m tmpfs small
    root=$BATS_TEST_TMPDIR/small/root
    hull run -d --network none --name web busybox sh -c 'head -c 9000000 /dev/urandom >/x; sleep 1000'
    wait_until 10 eval '[ "$(hull exec web stat -c %s /x)" = 9000000 ]'
    run_hull commit web mine
    equals 1 "$status"
    contains 'space' "$stderr"
    equals running "$(hull inspect -f '{{.State.Status}}' web)"
    hull system check
    run_hull inspect mine
    equals 1 "$status"
    hull exec web rm /x
    hull commit web mine >/dev/null
    hull system check
    hull rm -f web
    umount small
    mkdir -p "$root"
}

@test "a running container with a user namespace of its own: cp both ways, export; owners are the image's" {
    start_web --userns private -v data:/data --tmpfs /tmp
    mkdir -p d/sub
    echo f >d/file
    chown 12:34 d/file
    chmod 4751 d/file
    copy -a d web:/
    equals '12 34 -rwsr-x--x' "$(inside 'ls -ln /d/file' | awk '{print $3, $4, $1}')"
    # Its root's, without -a; and into what is mounted on its root.
    copy d web:/data/new
    copy d/file web:/tmp
    equals '0 0 0 0' "$(inside 'ls -ln /data/new/file /tmp/file' | awk '{print $3, $4}' | tr '\n' ' ' | sed 's/ $//')"
    equals 0:0 "$(stat -c %u:%g "$root/volumes/data/_data/new/file")"
    inside 'mkdir -p /made/sub; echo m >/made/sub/m; chown -R 5:6 /made; chmod 700 /made; echo t >/tmp/t'
    equals '5/6 5/6 5/6' "$(hull cp web:/made - | tar --numeric-owner -tvf - | awk '{print $2}' | tr '\n' ' ' | sed 's/ $//')"
    copy -a web:/made .
    equals '5:6 m' "$(stat -c %u:%g made/sub/m) $(cat made/sub/m)"
    copy web:/tmp/t .
    equals t "$(cat t)"
    tar -c --owner=7 --group=8 -C d file | hull cp -a - web:/made
    equals '7 8' "$(inside 'ls -ln /made/file' | awk '{print $3, $4}')"
    hull export web | tar --numeric-owner -tvf - >list
    equals '12/34 0/0 5/6' "$(echo $(grep -E ' (d/file|etc/passwd|made/sub/m)$' list | awk '{print $2}'))"
    # Errors come back from where they happen.
    run_hull cp web:/nothing .
    refused 1 "can't find web:/nothing"
    run_hull cp d web:/proc/sys
    equals 1 "$status"
    # It can't be led out, and stopped it is the same.
    inside 'ln -s /made/sub /lead; ln -s ../../../../../../../../etc /up'
    copy d/file web:/lead/x
    equals f "$(inside 'cat /made/sub/x')"
    copy d/file web:/up/y
    equals f "$(inside 'cat /etc/y')"
    hull stop -t 0 web
    copy -a d web:/made
    equals '12/34' "$(hull cp web:/made/d/file - | tar --numeric-owner -tvf - | awk '{print $2}')"
}
