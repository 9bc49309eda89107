// Direct calls for the signatures that make up nearly all calls of a training step. What isn't listed goes boxed:
// slower by the cost of IValues and list allocations, with the same result.
#include "dispatch.h"

#include <c10/core/SymIntArrayRef.h>
#include <c10/util/OptionalArrayRef.h>
#include <c10/util/SmallVector.h>

#include <tuple>

namespace torchforge {
namespace {

// One argument, as read from the buffer and as the operator takes it.
template <class T>
struct Arg;

template <>
struct Arg<const at::Tensor&> {
  const at::Tensor& value;
  Arg(Reader& in, const std::string& name) : value(in.tensor(name.c_str())) {}
  const at::Tensor& get() { return value; }
};
template <>
struct Arg<at::Tensor&> {
  at::Tensor value;
  Arg(Reader& in, const std::string& name) : value(in.tensor(name.c_str())) {}
  at::Tensor& get() { return value; }
};
template <>
struct Arg<const std::optional<at::Tensor>&> {
  std::optional<at::Tensor> value;
  Arg(Reader& in, const std::string& name) : value(in.optionalTensor(name.c_str())) {}
  const std::optional<at::Tensor>& get() { return value; }
};
template <>
struct Arg<const at::Scalar&> {
  at::Scalar value;
  Arg(Reader& in, const std::string&) : value(in.scalar()) {}
  const at::Scalar& get() { return value; }
};
template <>
struct Arg<int64_t> {
  int64_t value;
  Arg(Reader& in, const std::string&) : value(in.integer()) {}
  int64_t get() { return value; }
};
template <>
struct Arg<c10::SymInt> {
  int64_t value;
  Arg(Reader& in, const std::string&) : value(in.integer()) {}
  c10::SymInt get() { return value; }
};
template <>
struct Arg<std::optional<c10::SymInt>> {
  std::optional<c10::SymInt> value;
  Arg(Reader& in, const std::string&) {
    if (in.present()) value = in.integer();
  }
  std::optional<c10::SymInt> get() { return value; }
};
template <>
struct Arg<bool> {
  bool value;
  Arg(Reader& in, const std::string&) : value(in.boolean()) {}
  bool get() { return value; }
};
template <>
struct Arg<double> {
  double value;
  Arg(Reader& in, const std::string&) : value(in.number()) {}
  double get() { return value; }
};
template <>
struct Arg<std::optional<double>> {
  std::optional<double> value;
  Arg(Reader& in, const std::string&) {
    if (in.present()) value = in.number();
  }
  std::optional<double> get() { return value; }
};
template <>
struct Arg<std::optional<bool>> {
  std::optional<bool> value;
  Arg(Reader& in, const std::string&) {
    if (in.present()) value = in.boolean();
  }
  std::optional<bool> get() { return value; }
};
template <class Enum>
Enum readEnum(Reader& in) {
  const int64_t value = in.integer();
  if (value < 0 || value >= static_cast<int64_t>(Enum::NumOptions)) throw std::runtime_error("a dtype, layout or memory format out of range");
  return static_cast<Enum>(value);
}
template <class Enum>
struct PlainEnum {
  Enum value;
  PlainEnum(Reader& in, const std::string&) : value(readEnum<Enum>(in)) {}
  Enum get() { return value; }
};
template <class Enum>
struct OptionalEnum {
  std::optional<Enum> value;
  OptionalEnum(Reader& in, const std::string&) {
    if (in.present()) value = readEnum<Enum>(in);
  }
  std::optional<Enum> get() { return value; }
};
template <>
struct Arg<at::ScalarType> : PlainEnum<at::ScalarType> {
  using PlainEnum::PlainEnum;
};
template <>
struct Arg<at::MemoryFormat> : PlainEnum<at::MemoryFormat> {
  using PlainEnum::PlainEnum;
};
template <>
struct Arg<std::optional<at::ScalarType>> : OptionalEnum<at::ScalarType> {
  using OptionalEnum::OptionalEnum;
};
template <>
struct Arg<std::optional<at::MemoryFormat>> : OptionalEnum<at::MemoryFormat> {
  using OptionalEnum::OptionalEnum;
};
template <>
struct Arg<std::optional<at::Layout>> : OptionalEnum<at::Layout> {
  using OptionalEnum::OptionalEnum;
};
template <>
struct Arg<std::optional<at::Device>> {
  std::optional<at::Device> value;
  Arg(Reader& in, const std::string&) {
    if (in.present()) value = in.device();
  }
  std::optional<at::Device> get() { return value; }
};
template <>
struct Arg<at::IntArrayRef> {
  c10::SmallVector<int64_t, 8> value;
  Arg(Reader& in, const std::string&) {
    const size_t n = in.count();
    for (size_t i = 0; i < n; ++i) value.push_back(in.integer());
  }
  at::IntArrayRef get() { return value; }
};
template <>
struct Arg<at::OptionalIntArrayRef> {
  std::optional<Arg<at::IntArrayRef>> value;
  Arg(Reader& in, const std::string& name) {
    if (in.present()) value.emplace(in, name);
  }
  at::OptionalIntArrayRef get() { return value ? at::OptionalIntArrayRef(value->get()) : std::nullopt; }
};
template <>
struct Arg<c10::SymIntArrayRef> {
  Arg<at::IntArrayRef> value;
  Arg(Reader& in, const std::string& name) : value(in, name) {}
  c10::SymIntArrayRef get() { return c10::fromIntArrayRefSlow(value.get()); }
};

void write(Writer& out, at::Tensor&& tensor) { out.tensor(std::move(tensor)); }
// In-place: TypeScript returns the tensor that it was called with.
void write(Writer& out, at::Tensor&) { out.number(0); }
template <class... T>
void write(Writer& out, std::tuple<T...>&& results) {
  std::apply([&](auto&&... one) { (write(out, std::move(one)), ...); }, std::move(results));
}

template <class Signature>
struct Unboxed;

template <class Return, class... Args>
struct Unboxed<Return(Args...)> {
  static void call(const Operator& op, Reader& in, Writer& out) {
    size_t i = 0;
    // Braces: the arguments are read in order.
    std::tuple<Arg<Args>...> arguments{Arg<Args>(in, op.argumentNames[i++])...};
    // The signature was checked when the operator was looked up; a typed handle is the same object.
    const auto& typed = static_cast<const c10::TypedOperatorHandle<Return(Args...)>&>(op.handle);
    write(out, std::apply([&](auto&... one) -> Return { return typed.call(one.get()...); }, arguments));
  }
  static bool fits(const c10::OperatorHandle& handle) {
    try {
      (void)handle.typed<Return(Args...)>();
      return true;
    } catch (const c10::Error&) {
      return false;
    }
  }
};

struct Common {
  const char* code;
  bool (*fits)(const c10::OperatorHandle&);
  void (*call)(const Operator&, Reader&, Writer&);
};

template <class Signature>
constexpr Common common(const char* code) {
  return {code, Unboxed<Signature>::fits, Unboxed<Signature>::call};
}

using T = const at::Tensor&;
using OT = const std::optional<at::Tensor>&;
using S = const at::Scalar&;
using Type = std::optional<at::ScalarType>;
using R = at::Tensor;
using Self = at::Tensor&;
using R2 = std::tuple<at::Tensor, at::Tensor>;
using R3 = std::tuple<at::Tensor, at::Tensor, at::Tensor>;

// The code is one letter an argument (see letter()), so that only signatures that can fit are tried.
const Common kCommon[] = {
    common<R(T)>("T"),
    common<R(T, T)>("TT"),
    common<R(T, T, T)>("TTT"),
    common<R(T, S)>("TS"),
    common<R(T, T, S)>("TTS"),
    common<R(T, S, S)>("TSS"),
    common<R(T, T, T, S)>("TTTS"),
    common<R(T, T, T, S, S)>("TTTSS"),
    common<R(T, T, OT)>("TTt"),
    common<R(T, int64_t)>("Ti"),
    common<R(T, c10::SymInt)>("Ti"),
    common<R(T, int64_t, int64_t)>("Tii"),
    common<R(T, int64_t, c10::SymInt)>("Tii"),
    common<R(T, int64_t, c10::SymInt, c10::SymInt)>("Tiii"),
    common<R(T, int64_t, std::optional<c10::SymInt>, std::optional<c10::SymInt>, c10::SymInt)>("Tinni"),
    common<R(T, int64_t, T)>("TiT"),
    common<R(T, int64_t, T, bool)>("TiTb"),
    common<R(T, int64_t, bool)>("Tib"),
    common<R(T, int64_t, Type)>("Tin"),
    common<R(T, int64_t, bool, Type)>("Tibn"),
    common<R(T, Type)>("Tn"),
    common<R(T, bool)>("Tb"),
    common<R(T, at::IntArrayRef)>("Tl"),
    common<R(T, c10::SymIntArrayRef)>("Tl"),
    common<R(T, c10::SymIntArrayRef, bool)>("Tlb"),
    common<R(T, at::IntArrayRef, bool)>("Tlb"),
    common<R(T, at::IntArrayRef, bool, Type)>("Tlbn"),
    common<R(T, at::OptionalIntArrayRef, bool, Type)>("Tobn"),
    common<R(T, at::OptionalIntArrayRef, bool)>("Tob"),
    common<R(T, std::optional<at::MemoryFormat>)>("Tn"),
    common<R(T, at::MemoryFormat)>("Ti"),
    common<R(T, at::ScalarType, bool, bool, std::optional<at::MemoryFormat>)>("Tibbn"),
    common<R(T, T, c10::SymInt, bool, bool)>("TTibb"),
    common<R(T, T, OT, int64_t, c10::SymInt, double)>("TTtiid"),
    common<R(T, T, T, OT, double, bool, std::optional<double>, bool)>("TTTtdbqb"),
    common<R(c10::SymIntArrayRef, Type, std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>)>("lnnDB"),
    common<R(c10::SymIntArrayRef, Type, std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>, std::optional<at::MemoryFormat>)>("lnnDBn"),
    common<R(T, Type, std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>, std::optional<at::MemoryFormat>)>("TnnDBn"),
    common<Self(Self)>("T"),
    common<Self(Self, T)>("TT"),
    common<Self(Self, S)>("TS"),
    common<Self(Self, T, S)>("TTS"),
    common<Self(Self, S, S)>("TSS"),
    common<Self(Self, T, T, S)>("TTTS"),
    common<Self(Self, T, T, S, S)>("TTTSS"),
    common<Self(Self, T, bool)>("TTb"),
    common<Self(Self, int64_t, T, T)>("TiTT"),
    common<R2(T, int64_t, bool)>("Tib"),
    common<R2(T, c10::SymInt, int64_t, bool, bool)>("Tiibb"),
    common<R3(T, c10::SymIntArrayRef, OT, OT, double)>("Tlttd"),
};

char letter(Kind kind) {
  switch (kind) {
    case Kind::Tensor: return 'T';
    case Kind::OptTensor: return 't';
    case Kind::Int: return 'i';
    case Kind::OptInt: return 'n';
    case Kind::Float: return 'd';
    case Kind::OptFloat: return 'q';
    case Kind::Bool: return 'b';
    case Kind::OptBool: return 'B';
    case Kind::Scalar: return 'S';
    case Kind::IntList: return 'l';
    case Kind::OptIntList: return 'o';
    case Kind::OptDevice: return 'D';
    default: return '?';
  }
}

}  // namespace

void chooseUnboxed(Operator& op) {
  std::string code;
  for (Kind kind : op.arguments) code += letter(kind);
  for (const Common& one : kCommon) {
    if (code == one.code && one.fits(op.handle)) {
      op.unboxed = one.call;
      return;
    }
  }
}

}  // namespace torchforge
