#!/usr/bin/env bash
# Makes keys and signatures with GnuPG (2.2, Debian package gnupg) in the folder that is given: KEY.key, KEY.bin, and SIGNATURE.asc or .sig
# over the file artifact. pgp.json was made from such a folder.
set -euo pipefail
out=$(realpath "$1")
export GNUPGHOME=$out/home
mkdir -p "$GNUPGHOME"
chmod 700 "$GNUPGHOME"
cd "$out"
# With both kinds of line breaks.
printf 'an artifact\nwith lines\r\nof both kinds' >artifact

gpg=(gpg --batch --quiet --no-tty --pinentry-mode loopback --passphrase '' --trust-model always)
at() { printf '%s' "--faked-system-time=$1!"; }
id() { printf '<%s@example.org>' "$1"; }
make() { # NAME ALGORITHM USE EXPIRES TIME
  "${gpg[@]}" "$(at "$5")" --quick-generate-key "$1 $(id "$1")" "$2" "$3" "$4"
}
print() { "${gpg[@]}" --with-colons --fingerprint "$(id "$1")" | awk -F: '/^fpr/ {print $10; exit}'; }
subkey() { "${gpg[@]}" "$(at "$5")" --quick-add-key "$(print "$1")" "$2" "$3" "$4"; } # NAME ALGORITHM USE EXPIRES TIME
keep() {
  "${gpg[@]}" --armor --export "$(id "$1")" >"$1.key"
  "${gpg[@]}" --export "$(id "$1")" >"$1.bin"
}
sign() { # KEY FILE TIME OPTION...
  local key=$1 file=$2 time=$3
  shift 3
  "${gpg[@]}" "$(at "$time")" --yes --local-user "$(id "$key")" --output "$file" --detach-sign "$@" artifact
}

start=20200101T000000
later=20210101T000000
for pair in rsa:rsa2048 rsa3072:rsa3072 ed25519:ed25519 p256:nistp256 p384:nistp384 p521:nistp521; do
  name=${pair%%:*}
  make "$name" "${pair##*:}" sign,cert never $start
done
subkey rsa rsa2048 encr never $start
subkey ed25519 cv25519 encr never $start
subkey p256 nistp256 encr never $start
for name in rsa rsa3072 ed25519 p256 p384 p521; do
  keep $name
  sign $name $name.sig $later
  sign $name $name.asc $later --armor
  sign $name $name.text.asc $later --armor --textmode
done
sign rsa rsa.sha1.sig $later --digest-algo SHA1
sign rsa rsa.sha224.sig $later --digest-algo SHA224
sign rsa rsa.sha384.sig $later --digest-algo SHA384
sign rsa rsa.sha512.sig $later --digest-algo SHA512
sign rsa rsa.notation.sig $later --set-notation '!critical@example.org=yes'
sign rsa rsa.lifetime.sig $later --default-sig-expire 1d
printf 'another artifact' >other
"${gpg[@]}" --yes --local-user "$(id rsa)" --output rsa.other.sig --detach-sign other
cat ed25519.sig rsa.sig >both.sig

# Several names, one of them revoked; certificates by others; a signing subkey.
make names rsa2048 sign,cert never $start
"${gpg[@]}" "$(at 20200102T000000)" --quick-add-uid "$(id names)" 'Second (a comment <no@example.org>) <Second@Example.org>'
"${gpg[@]}" "$(at 20200103T000000)" --quick-add-uid "$(id names)" 'gone <gone@example.org>'
"${gpg[@]}" "$(at 20200104T000000)" --quick-revoke-uid "$(id names)" 'gone <gone@example.org>'
"${gpg[@]}" "$(at 20200104T000000)" --quick-add-uid "$(id names)" 'no address'
for by in ed25519 p256; do
  "${gpg[@]}" "$(at 20200105T000000)" --yes --local-user "$(id $by)" --quick-sign-key "$(print names)"
done
keep names
sign names names.asc $later --armor

make subkey ed25519 cert never $start
subkey subkey ed25519 sign never $start
keep subkey
sign subkey subkey.asc $later --armor
make rsasubkey rsa2048 cert never $start
subkey rsasubkey rsa2048 sign 2y $start
keep rsasubkey
sign rsasubkey rsasubkey.asc $later --armor

# Keys that expire: signatures from before and, with a clock that lies, from after that.
make expires ed25519 sign,cert 2021-06-01 $start
keep expires
sign expires expires.before.asc $later --armor
"${gpg[@]}" "$(at $later)" --quick-set-expire "$(print expires)" never
sign expires expires.after.asc 20220101T000000 --armor

# Revoked ones.
make revoked ed25519 sign,cert never $start
sign revoked revoked.asc $later --armor
sign revoked revoked.before.asc 20200601T000000 --armor
printf 'y\n3\n\ny\n' | "${gpg[@]}" "$(at 20200701T000000)" --no-batch --command-fd 0 --gen-revoke "$(id revoked)" >revoked.rev
"${gpg[@]}" --import revoked.rev
keep revoked
make compromised ed25519 sign,cert never $start
sign compromised compromised.asc 20200601T000000 --armor
printf 'y\n1\n\ny\n' | "${gpg[@]}" "$(at 20200701T000000)" --no-batch --command-fd 0 --gen-revoke "$(id compromised)" >compromised.rev
"${gpg[@]}" --import compromised.rev
keep compromised
make revokedsubkey ed25519 cert never $start
subkey revokedsubkey ed25519 sign never $start
sign revokedsubkey revokedsubkey.asc $later --armor
sign revokedsubkey revokedsubkey.before.asc 20200601T000000 --armor
printf 'key 1\nrevkey\ny\n3\n\ny\nsave\n' | "${gpg[@]}" "$(at 20200701T000000)" --no-batch --command-fd 0 --edit-key "$(id revokedsubkey)"
keep revokedsubkey

make dsa dsa2048 sign,cert never $start
keep dsa
sign dsa dsa.asc $later --armor
make secp256k1 secp256k1 sign,cert never $start
keep secp256k1
sign secp256k1 secp256k1.asc $later --armor
make encrypts rsa2048 cert never $start
subkey encrypts rsa2048 encr never $start
keep encrypts
# A key that old programs made: certified with SHA-1.
"${gpg[@]}" "$(at $start)" --cert-digest-algo SHA1 --quick-generate-key 'sha1 <sha1@example.org>' rsa2048 sign,cert never
keep sha1
sign sha1 sha1.asc $later --armor
cat rsa.key ed25519.key >ring.key
cat rsa.bin ed25519.bin >ring.bin
gpgconf --kill all
