/* FIPS 180-4, sections 4.1.2, 4.2.2, 5.1.1, 5.3.3 and 6.2.2. */
#include "image/sha256.h"

#include <stdint.h>
#include <string.h>

#define BLOCK 64

/* The first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
static const uint32_t constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate(uint32_t word, int bits)
{
    return word >> bits | word << (32 - bits);
}

static uint32_t load_word(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* The message schedule, in place of the words that aren't needed any more. */
static uint32_t next_word(uint32_t words[16], int round)
{
    uint32_t before = words[(round + 1) % 16], after = words[(round + 14) % 16];
    uint32_t sigma0 = rotate(before, 7) ^ rotate(before, 18) ^ before >> 3;
    uint32_t sigma1 = rotate(after, 17) ^ rotate(after, 19) ^ after >> 10;
    return words[round % 16] += sigma0 + words[(round + 9) % 16] + sigma1;
}

static void add_block(uint32_t hash[8], const unsigned char block[BLOCK])
{
    uint32_t words[16], a = hash[0], b = hash[1], c = hash[2], d = hash[3], e = hash[4],
                        f = hash[5], g = hash[6], h = hash[7];
    for (int i = 0; i < 16; i++)
        words[i] = load_word(block + 4 * i);
    for (int round = 0; round < 64; round++) {
        uint32_t word = round < 16 ? words[round] : next_word(words, round);
        uint32_t sum1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
        uint32_t sum0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
        uint32_t one = h + sum1 + ((e & f) ^ (~e & g)) + constants[round] + word;
        uint32_t two = sum0 + ((a & b) ^ (a & c) ^ (b & c));
        h = g, g = f, f = e, e = d + one;
        d = c, c = b, b = a, a = one + two;
    }
    hash[0] += a, hash[1] += b, hash[2] += c, hash[3] += d;
    hash[4] += e, hash[5] += f, hash[6] += g, hash[7] += h;
}

void sha256(const void *bytes, size_t count, unsigned char sum[SHA256_SIZE])
{
    uint32_t hash[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    const unsigned char *rest = bytes;
    size_t left = count;
    for (; left >= BLOCK; left -= BLOCK, rest += BLOCK)
        add_block(hash, rest);
    /* The padding: a bit of 1, zeros, and the number of bits. */
    unsigned char last[2 * BLOCK] = {0};
    size_t length = left < BLOCK - 8 ? BLOCK : 2 * BLOCK;
    if (left)
        memcpy(last, rest, left);
    last[left] = 0x80;
    for (size_t i = 0; i < 8; i++)
        last[length - 1 - i] = (unsigned char)((uint64_t)count * 8 >> (8 * i));
    for (size_t i = 0; i < length; i += BLOCK)
        add_block(hash, last + i);
    for (int i = 0; i < SHA256_SIZE; i++)
        sum[i] = (unsigned char)(hash[i / 4] >> (24 - 8 * (i % 4)));
}
