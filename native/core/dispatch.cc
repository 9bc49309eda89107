#include "guards.h"

#include <c10/core/ScalarType.h>
#include <torch/version.h>

#include <sstream>

namespace torchforge {

using c10::TypeKind;

static Kind kindOf(const c10::TypePtr& type, const std::string& what) {
  switch (type->kind()) {
    case TypeKind::TensorType: return Kind::Tensor;
    case TypeKind::IntType: case TypeKind::SymIntType: return Kind::Int;
    case TypeKind::FloatType: return Kind::Float;
    case TypeKind::BoolType: return Kind::Bool;
    case TypeKind::NumberType: return Kind::Scalar;
    case TypeKind::StringType: return Kind::Str;
    case TypeKind::DeviceObjType: return Kind::Device;
    case TypeKind::GeneratorType: return Kind::Generator;
    case TypeKind::AnyType: return Kind::Any;
    case TypeKind::ListType: {
      const auto element = type->castRaw<c10::ListType>()->getElementType();
      if (element->kind() == TypeKind::OptionalType) return Kind::OptTensorList;
      switch (kindOf(element, what)) {
        case Kind::Int: return Kind::IntList;
        case Kind::Float: return Kind::FloatList;
        case Kind::Bool: return Kind::BoolList;
        case Kind::Tensor: return Kind::TensorList;
        case Kind::Scalar: return Kind::ScalarList;
        default: break;
      }
      break;
    }
    case TypeKind::OptionalType:
      switch (kindOf(type->castRaw<c10::OptionalType>()->getElementType(), what)) {
        case Kind::Tensor: return Kind::OptTensor;
        case Kind::Int: return Kind::OptInt;
        case Kind::Float: return Kind::OptFloat;
        case Kind::Bool: return Kind::OptBool;
        case Kind::Scalar: return Kind::OptScalar;
        case Kind::Str: return Kind::OptStr;
        case Kind::Device: return Kind::OptDevice;
        case Kind::IntList: return Kind::OptIntList;
        case Kind::FloatList: return Kind::OptFloatList;
        case Kind::Generator: return Kind::Generator;
        default: break;
      }
      break;
    default: break;
  }
  throw std::runtime_error(what + ": arguments of type " + type->str() + " can't be passed from TypeScript");
}

// grad_output: gradOutput, as TypeScript knows it.
static std::string camelCase(const std::string& name) {
  std::string out;
  for (size_t i = 0; i < name.size(); ++i) {
    const bool joint = name[i] == '_' && !out.empty() && i + 1 < name.size() && name[i + 1] != '_';
    if (joint) out += static_cast<char>(std::toupper(static_cast<unsigned char>(name[++i])));
    else out += name[i];
  }
  return out;
}

// How the arguments of an operator stand in the buffer, and how many results: "T T? i*:1". scripts/generate/types.ts
// writes the same.
static std::string layoutOf(const Operator& op) {
  static constexpr const char* codes[] = {"T", "T?", "i", "i?", "f", "f?", "b", "b?", "S", "S?", "i*", "i*?",
                                          "f*", "f*?", "b*", "T*", "T?*", "S*", "s", "s?", "D", "D?", "G", "A"};
  std::string text;
  for (Kind kind : op.arguments) {
    if (!text.empty()) text += ' ';
    text += codes[static_cast<size_t>(kind)];
  }
  return text + ":" + std::to_string(op.handle.schema().returns().size());
}

static void checkLayout(const Operator& op, const std::string& expected) {
  if (expected.empty() || expected == layoutOf(op)) return;
  std::ostringstream text;
  text << "libtorch " << TORCH_VERSION << " has " << op.name << " with other arguments or results than this function was made for. "
       << "Call it by its name, torch.call(\"" << op.name << "\", …), as its schema says: " << op.handle.schema();
  throw std::runtime_error(text.str());
}

uint32_t findOperator(Env& env, const std::string& name, const std::string& overload, const std::string& layout) {
  const std::string key = name + "." + overload;
  if (auto it = env.operatorIds.find(key); it != env.operatorIds.end()) {
    checkLayout(*env.operators[it->second], layout);
    return it->second;
  }
  auto handle = c10::Dispatcher::singleton().findSchema({name, overload});
  if (!handle) throw std::runtime_error("libtorch " TORCH_VERSION " has no operator " + (overload.empty() ? name : key));
  auto op = std::make_unique<Operator>(Operator{overload.empty() ? name : key, *handle, {}, {}, false, nullptr, false, nullptr});
  const auto& returns = handle->schema().returns();
  op->returnsSelf = returns.size() == 1 && returns[0].alias_info() != nullptr && returns[0].alias_info()->isWrite();
  for (const auto& argument : handle->schema().arguments()) {
    op->arguments.push_back(kindOf(argument.type(), op->name));
    op->argumentNames.push_back(camelCase(argument.name()));
  }
  checkLayout(*op, layout);
  chooseUnboxed(*op);
  chooseGuard(*op);
  const uint32_t id = env.operators.size();
  env.operators.push_back(op.release());
  env.operatorIds.emplace(key, id);
  return id;
}

c10::IValue readArgument(Reader& in, Kind kind, const std::string& name) {
  switch (kind) {
    case Kind::Tensor: return in.tensor(name.c_str());
    case Kind::OptTensor: return in.optionalTensor(name.c_str());
    case Kind::Int: return in.integer();
    case Kind::OptInt: return in.present() ? c10::IValue(in.integer()) : c10::IValue();
    case Kind::Float: return in.number();
    case Kind::OptFloat: return in.present() ? c10::IValue(in.number()) : c10::IValue();
    case Kind::Bool: return in.boolean();
    case Kind::OptBool: return in.present() ? c10::IValue(in.boolean()) : c10::IValue();
    case Kind::Scalar: return in.scalar();
    case Kind::OptScalar: return in.present() ? c10::IValue(in.scalar()) : c10::IValue();
    case Kind::OptIntList:
      if (!in.present()) return c10::IValue();
      [[fallthrough]];
    case Kind::IntList: {
      const size_t n = in.count();
      c10::List<int64_t> list;
      list.reserve(n);
      for (size_t i = 0; i < n; ++i) list.push_back(in.integer());
      return list;
    }
    case Kind::OptFloatList:
      if (!in.present()) return c10::IValue();
      [[fallthrough]];
    case Kind::FloatList: {
      const size_t n = in.count();
      c10::List<double> list;
      for (size_t i = 0; i < n; ++i) list.push_back(in.number());
      return list;
    }
    case Kind::BoolList: {
      const size_t n = in.count();
      c10::List<bool> list;
      for (size_t i = 0; i < n; ++i) list.push_back(in.boolean());
      return list;
    }
    case Kind::TensorList: {
      const size_t n = in.count();
      c10::List<at::Tensor> list;
      list.reserve(n);
      for (size_t i = 0; i < n; ++i) list.push_back(in.tensor(name.c_str()));
      return list;
    }
    case Kind::OptTensorList: {
      const size_t n = in.count();
      c10::List<std::optional<at::Tensor>> list;
      for (size_t i = 0; i < n; ++i) list.push_back(in.optionalTensor(name.c_str()));
      return list;
    }
    case Kind::ScalarList: {
      const size_t n = in.count();
      c10::List<at::Scalar> list;
      for (size_t i = 0; i < n; ++i) list.push_back(in.scalar());
      return list;
    }
    case Kind::Str: case Kind::Any: return in.string();
    case Kind::OptStr: return in.present() ? c10::IValue(in.string()) : c10::IValue();
    case Kind::Device: return in.device();
    case Kind::OptDevice: return in.present() ? c10::IValue(in.device()) : c10::IValue();
    case Kind::Generator: return in.present() ? c10::IValue(in.generator()) : c10::IValue();
  }
  throw std::runtime_error("unknown argument kind");
}

static size_t slotsOf(const c10::IValue& value) {
  if (value.isTensorList()) return 1 + value.toTensorList().size();
  if (value.isIntList()) return 1 + 2 * value.toIntList().size();
  return value.isTensor() ? 1 : 2;
}

static void writeResult(Writer& out, const c10::IValue& value) {
  if (value.isTensor()) {
    out.tensor(value.toTensor());
  } else if (value.isTensorList()) {
    const auto list = value.toTensorList();
    out.number(static_cast<double>(list.size()));
    for (const at::Tensor& t : list) out.tensor(t);
  } else if (value.isInt()) {
    out.integer(value.toInt());
  } else if (value.isDouble()) {
    out.scalar(value.toDouble());
  } else if (value.isBool()) {
    out.scalar(value.toBool());
  } else if (value.isScalar()) {
    out.scalar(value.toScalar());
  } else if (value.isSymInt()) {
    out.integer(value.toSymInt().expect_int());
  } else if (value.isIntList()) {
    const auto list = value.toIntVector();
    out.number(static_cast<double>(list.size()));
    for (int64_t v : list) out.integer(v);
  } else if (value.isNone()) {
    out.number(0);
  } else {
    throw std::runtime_error("a result of type " + value.tagKind() + " can't be returned to TypeScript");
  }
}

// "self: float32[2, 3], alpha: 1": for error texts only.
static std::string describeArguments(Env& env, const Operator& op) {
  std::ostringstream text;
  try {
    Reader in(env);
    in.number();
    for (size_t i = 0; i < op.arguments.size(); ++i) {
      const c10::IValue value = readArgument(in, op.arguments[i], op.argumentNames[i]);
      const auto tensor = [&](const at::Tensor& t) {
        if (!t.defined()) { text << "undefined"; return; }
        text << c10::toString(t.scalar_type()) << t.sizes();
        if (!t.device().is_cpu()) text << "@" << t.device();
      };
      if (value.isNone()) continue;
      if (i > 0) text << ", ";
      text << op.argumentNames[i] << ": ";
      if (value.isTensor()) {
        tensor(value.toTensor());
      } else if (value.isTensorList()) {
        const auto list = value.toTensorVector();
        text << "[";
        for (size_t k = 0; k < list.size() && k < 8; ++k) { if (k) text << ", "; tensor(list[k]); }
        text << (list.size() > 8 ? ", …]" : "]");
      } else if (value.isList() && value.toListRef().size() > 16) {
        text << "[" << value.toListRef().size() << " values]";
      } else if (value.isList() && value.toListRef().size() > 0 && value.toListRef()[0].isTensor()) {
        text << "[…]";
      } else {
        text << value;
      }
    }
  } catch (...) {
    // The buffer already holds results, or an argument is what failed: what was gathered is enough.
  }
  return text.str();
}

static void callBoxed(const Operator& op, Reader& in, Writer& out) {
  // The vector is reused; whatever an exception leaves behind is dropped with it.
  static thread_local torch::jit::Stack stack;
  struct Clear {
    ~Clear() { stack.clear(); }
  } clear;
  for (size_t i = 0; i < op.arguments.size(); ++i) {
    stack.push_back(readArgument(in, op.arguments[i], op.argumentNames[i]));
  }
  op.handle.callBoxed(stack);
  if (op.returnsSelf) return out.number(0);
  size_t slots = 0;
  for (const c10::IValue& value : stack) slots += slotsOf(value);
  out.reserve(slots);
  for (const c10::IValue& value : stack) writeResult(out, value);
}

static void runGuard(const Operator& op, Reader in) {
  std::vector<c10::IValue> arguments;
  for (size_t i = 0; i < op.arguments.size(); ++i) arguments.push_back(readArgument(in, op.arguments[i], op.argumentNames[i]));
  op.guard(Arguments(op, arguments));
}

napi_value callOperator(Env& env) noexcept {
  const double id = env.buffer[0];
  if (!(id >= 0 && id < static_cast<double>(env.operators.size()))) {
    return guarded(env.napi, "call", []() -> napi_value { throw std::runtime_error("no such operator"); });
  }
  const Operator& op = *env.operators[static_cast<size_t>(id)];
  try {
    Reader in(env, op.refusesOpaque);
    in.number();
    Writer out(env);
    if (op.guard != nullptr) runGuard(op, in);
    (op.unboxed != nullptr ? op.unboxed : callBoxed)(op, in, out);
    return nullptr;
  } catch (...) {
    return describeCurrentException(env.napi, op.name, describeArguments(env, op));
  }
}

}  // namespace torchforge
