#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::rekor_v2::check(data));
