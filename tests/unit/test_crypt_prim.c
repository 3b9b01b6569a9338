/* SPDX-License-Identifier: BSD-2-Clause */
/* Primitives against what their RFCs publish; keys that must be refused. */
#include "crypt_pair.h"

static uint8_t given[64]; /* what crypt__random gives; first byte 0: counts */
static uint8_t counter;

/* In place of random.c. */
int
crypt__random(void *buf, size_t len)
{
	uint8_t *p = buf;

	if (given[0] != 0) {
		memcpy(p, given, len);
		return 0;
	}
	for (size_t i = 0; i < len; i++)
		p[i] = ++counter;
	return 0;
}

static size_t
hex(uint8_t *to, const char *text)
{
	size_t n = strlen(text) / 2;

	for (size_t i = 0; i < n; i++) {
		char two[3] = { text[2 * i], text[2 * i + 1], 0 };

		to[i] = (uint8_t)strtoul(two, NULL, 16);
	}
	return n;
}

/* RFC 5869 appendix A.1: Expand has an info of ten bytes there, f0 to f9. */
static void
hkdf(void **state)
{
	uint8_t ikm[22], salt[13], info[10], prk[32], want[42], okm[42];
	struct crypt__part parts[2] = { { ikm, 10 }, { ikm + 10, 12 } };

	(void)state;
	memset(ikm, 0x0b, sizeof(ikm));
	for (uint8_t i = 0; i < 13; i++)
		salt[i] = i;
	for (uint8_t i = 0; i < 10; i++)
		info[i] = 0xf0 + i;
	assert_int_equal(crypt__extract(salt, 13, parts, 2, prk), 0);
	hex(want, "077709362c2e32df0ddc3f0dc47bba63"
		  "90b6c73bb50f9c3122ec844ad7c2b3e5");
	assert_memory_equal(prk, want, 32);
	assert_int_equal(crypt__cprf(prk, info[0], info + 1, 9, okm, 42), 0);
	hex(want, "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4"
		  "c5bf34007208d5b887185865");
	assert_memory_equal(okm, want, 42);
	assert_int_equal(crypt__cprf(prk, 1, info, 17, okm, 42), -EINVAL);
}

/* RFC 7748 section 6.1: Bob, with Alice's public key. */
static void
x25519(void **state)
{
	uint8_t pub[PUB_MAX], peer[32], shared[SHARED_MAX], want[32];
	struct crypt__key *key;
	size_t len;

	(void)state;
	hex(given, "5dab087e624a8a4b79e17f8b83800ee6"
		   "6f3bb1292618b6fd1c2f8b27ff88e0eb");
	assert_int_equal(crypt__key_new(&key, TEP_X25519, pub, &len), 0);
	memset(given, 0, sizeof(given));
	hex(want, "de9edb7d7b7dc1b4d35b61c2ece43537"
		  "3f8343c85b78674dadfc7e146f882b4f");
	assert_int_equal(len, 32);
	assert_memory_equal(pub, want, 32);
	hex(peer, "8520f0098930a754748b7ddcb43ef75a"
		  "0dbf3a0d26381af4eba4a98eaa9b4e6a");
	assert_int_equal(crypt__key_agree(key, peer, 32, shared, &len), 0);
	hex(want, "4a5d9d5ba4ce2de1728e3bf480350f25"
		  "e07e21c947d19e3376f09b3c1e161742");
	assert_int_equal(len, 32);
	assert_memory_equal(shared, want, 32);
	crypt__key_free(key);
}

static const uint8_t teps[] = { TEP_P256, TEP_P521, TEP_X25519, TEP_X448 };

static void
both_agree(void **state)
{
	uint8_t pub[2][PUB_MAX], shared[2][SHARED_MAX];
	struct crypt__key *key[2];
	size_t len[2];

	(void)state;
	for (size_t i = 0; i < sizeof(teps); i++) {
		for (int k = 0; k < 2; k++) {
			assert_int_equal(
			    crypt__key_new(&key[k], teps[i], pub[k], &len[k]),
			    0);
			assert_int_equal(len[k], crypt__pub_len(teps[i]));
		}
		for (int k = 0; k < 2; k++)
			assert_int_equal(
			    crypt__key_agree(key[k], pub[!k],
					     crypt__pub_len(teps[i]), shared[k],
					     &len[k]),
			    0);
		assert_int_equal(len[0], len[1]);
		assert_memory_equal(shared[0], shared[1], len[0]);
		crypt__key_free(key[0]);
		crypt__key_free(key[1]);
	}
	assert_int_equal(crypt__key_new(&key[0], 0x20, pub[0], &len[0]),
			 -EINVAL);
	assert_int_equal(crypt__pub_len(0x25), 0);
}

static int
agree_with(uint8_t tep, const uint8_t *peer, size_t len)
{
	uint8_t pub[PUB_MAX], shared[SHARED_MAX];
	struct crypt__key *key;
	size_t n;
	int err;

	assert_int_equal(crypt__key_new(&key, tep, pub, &n), 0);
	err = crypt__key_agree(key, peer, len, shared, &n);
	crypt__key_free(key);
	return err;
}

static void
bad_keys(void **state)
{
	uint8_t pub[PUB_MAX], bad[PUB_MAX + 1] = { 0 };
	struct crypt__key *key;
	size_t len;

	(void)state;
	/* Of small order: they force the secret to zeros. */
	assert_int_equal(agree_with(TEP_X25519, bad, 32), -EPROTO);
	assert_int_equal(agree_with(TEP_X448, bad, 56), -EPROTO);
	bad[0] = 1;
	assert_int_equal(agree_with(TEP_X25519, bad, 32), -EPROTO);
	assert_int_equal(agree_with(TEP_X448, bad, 56), -EPROTO);
	assert_int_equal(agree_with(TEP_X25519, bad, 31), -EPROTO);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(crypt__key_new(&key, teps[i], pub, &len), 0);
		crypt__key_free(key);
		assert_int_equal(agree_with(teps[i], pub, len), 0);
		/* The other reading of the length. */
		memcpy(bad, pub, len);
		bad[1] -= 2;
		assert_int_equal(agree_with(teps[i], bad, len), 0);
		bad[1]++;
		assert_int_equal(agree_with(teps[i], bad, len), -EPROTO);
		/* Not compressed, hybrid, infinity; no such x. */
		for (uint8_t head = 0; head < 8; head++) {
			memcpy(bad, pub, len);
			bad[2] = head;
			assert_int_equal(agree_with(teps[i], bad, len),
					 (head & ~1) == 2 ? 0 : -EPROTO);
		}
		memset(bad + 3, 0xff, len - 3);
		bad[2] = 2;
		assert_int_equal(agree_with(teps[i], bad, len), -EPROTO);
		assert_int_equal(agree_with(teps[i], pub, len - 1), -EPROTO);
	}
	/* x of a point that is not on the curve: about every second. */
	memset(bad, 0, sizeof(bad));
	bad[1] = 35;
	bad[2] = 2;
	bad[34] = 4;
	assert_int_equal(agree_with(TEP_P256, bad, 35), -EPROTO);
}

/* The test cases of GCM's authors (numbers 4 and 16), and RFC 8439 section
   2.8.2. */
static const struct {
	uint16_t alg;
	const char *key, *nonce, *ad, *plain, *sealed, *tag;
} aeads[] = {
	{ AEAD_AES_128_GCM, "feffe9928665731c6d6a8f9467308308",
	  "cafebabefacedbaddecaf888",
	  "feedfacedeadbeeffeedfacedeadbeefabaddad2",
	  "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
	  "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
	  "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
	  "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091",
	  "5bc94fbc3221a5db94fae95ae7121a47" },
	{ AEAD_AES_256_GCM,
	  "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
	  "cafebabefacedbaddecaf888",
	  "feedfacedeadbeeffeedfacedeadbeefabaddad2",
	  "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
	  "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
	  "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
	  "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
	  "76fc6ece0f4e1768cddf8853bb2d551b" },
	{ AEAD_CHACHA20_POLY1305,
	  "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
	  "070000004041424344454647", "50515253c0c1c2c3c4c5c6c7",
	  "4c616469657320616e642047656e746c656d656e206f662074686520636c6173"
	  "73206f66202739393a204966204920636f756c64206f6666657220796f75206f"
	  "6e6c79206f6e652074697020666f7220746865206675747572652c2073756e73"
	  "637265656e20776f756c642062652069742e",
	  "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
	  "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
	  "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
	  "3ff4def08e4b7a9de576d26586cec64b6116",
	  "1ae10b594f09e26a7e902ecbd0600691" },
};

static void
aead_known(void **state)
{
	uint8_t key[32], nonce[12], ad[32], plain[256], want[256], tag[16];
	uint8_t got[256], want_tag[16];
	struct crypt__aead *a;
	size_t len, ad_len;

	(void)state;
	for (size_t i = 0; i < sizeof(aeads) / sizeof(aeads[0]); i++) {
		assert_int_equal(hex(key, aeads[i].key),
				 crypt__aead_key_len(aeads[i].alg));
		hex(nonce, aeads[i].nonce);
		ad_len = hex(ad, aeads[i].ad);
		len = hex(plain, aeads[i].plain);
		hex(want, aeads[i].sealed);
		hex(want_tag, aeads[i].tag);
		for (size_t cut = 0; cut <= len; cut += 7) {
			assert_int_equal(
			    crypt__aead_new(&a, aeads[i].alg, true), 0);
			assert_int_equal(crypt__aead_key(a, key), 0);
			crypt__aead_begin(a, nonce, ad, ad_len);
			crypt__aead_part(a, got, plain, cut);
			crypt__aead_part(a, got + cut, plain + cut, len - cut);
			assert_int_equal(crypt__aead_end(a, tag), 0);
			crypt__aead_free(a);
			assert_memory_equal(got, want, len);
			assert_memory_equal(tag, want_tag, 16);

			assert_int_equal(
			    crypt__aead_new(&a, aeads[i].alg, false), 0);
			assert_int_equal(crypt__aead_key(a, key), 0);
			crypt__aead_begin(a, nonce, ad, ad_len);
			crypt__aead_part(a, got, want, cut);
			crypt__aead_part(a, got + cut, want + cut, len - cut);
			assert_int_equal(crypt__aead_end(a, tag), 0);
			assert_memory_equal(got, plain, len);
			/* The same nonce again, a bit of the tag turned. */
			tag[cut % 16] ^= 1;
			crypt__aead_begin(a, nonce, ad, ad_len);
			crypt__aead_part(a, got, want, len);
			assert_int_equal(crypt__aead_end(a, tag), -EBADMSG);
			crypt__aead_free(a);
		}
	}
	assert_int_equal(crypt__aead_key_len(3), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hkdf),	      cmocka_unit_test(x25519),
		cmocka_unit_test(both_agree), cmocka_unit_test(bad_keys),
		cmocka_unit_test(aead_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
