// A host as people write it: a name, an IPv4 address, or an IPv6 address with or without brackets;
// and what they probably meant where it is none of these.

/// Why a text is not what it should be: the end of a sentence that begins "expected a host name or
/// an IP address".
struct TextFault: Error {
  let reason: StaticString

  static let scheme = TextFault(reason: " without a scheme")
  static let user = TextFault(reason: " without a user name or password")
  static let space = TextFault(reason: " without spaces")
  static let path = TextFault(reason: " without a path")
  static let port = TextFault(reason: " without a port")
  static let zone = TextFault(reason: " without a zone (from % on), which is not supported")
  static let linkLocal = TextFault(
    reason: ", not a link-local one (fe80::/10): it needs a zone, which is not supported")
  static let brackets = TextFault(reason: " with brackets around an IPv6 address only")
  static let notIPv6 = TextFault(reason: ", and with colons in it this would be an IPv6 address")
  static let notIPv4 = TextFault(
    reason: ": IPv4 is four numbers from 0 to 255 without leading zeros, no name ends in a number")
  static let character = TextFault(
    reason: ": a name has only letters, digits, hyphens, underscores and dots")
  static let length = TextFault(
    reason: ": a name has at most 253 characters, and 1 to 63 before each dot")
  static let unspecified = TextFault(
    reason: ", not 0.0.0.0 or ::, which are for listening only")
  static let multicast = TextFault(reason: ", not a multicast or broadcast address")
}

/// What `text` names, as a place to connect to.
func parseHost(_ text: ArraySlice<UInt8>) throws(TextFault) -> Target.Kind {
  let colons = text.count { $0 == UInt8(ascii: ":") }
  if index(after: "://", in: text) != nil { throw .scheme }
  if text.contains(UInt8(ascii: "@")) { throw .user }
  if text.contains(where: { $0.isASCIISpace }) { throw .space }
  if text.contains(UInt8(ascii: "/")) { throw .path }
  if colons > 1 && text.contains(UInt8(ascii: "%")) { throw .zone }
  if let address = parseAddress(text) {
    if address.isUnspecified { throw .unspecified }
    if address.isMulticast { throw .multicast }
    if address.isIPv6LinkLocal { throw .linkLocal }
    return .address(address)
  }
  if let close = text.firstIndex(of: UInt8(ascii: "]")), text.first == UInt8(ascii: "[") {
    throw text[close...].starts(with: [UInt8(ascii: "]"), UInt8(ascii: ":")]) ? .port : .brackets
  }
  if colons > 0 { throw colons == 1 ? .port : .notIPv6 }
  return .name(try parseName(text))
}

/// An IP address, with brackets around it or without if it is an IPv6 one.
func parseAddress(_ text: ArraySlice<UInt8>) -> IPAddress? {
  let bare = withoutBrackets(text)
  guard bare.count == text.count || bare.contains(UInt8(ascii: ":")) else { return nil }
  return IPAddress(bare)
}

func withoutBrackets(_ text: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
  guard text.first == UInt8(ascii: "["), text.last == UInt8(ascii: "]") else { return text }
  return text.dropFirst().dropLast()
}

/// A host name in lower case without its trailing dot (RFC 1123, section 2.1, and the underscore,
/// which names given by container tools have).
func parseName(_ text: ArraySlice<UInt8>) throws(TextFault) -> [UInt8] {
  let dot = UInt8(ascii: ".")
  let name = text.last == dot ? text.dropLast() : text
  var label = 0
  var isNumber = true
  for byte in name {
    if byte == dot {
      if label == 0 { throw .length }
      label = 0
      isNumber = true
      continue
    }
    let isLetter = 0x61...0x7a ~= byte.lowercasedASCII
    guard isLetter || byte.isASCIIDigit || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
    else { throw .character }
    label += 1
    if label > 63 { throw .length }
    isNumber = isNumber && byte.isASCIIDigit
  }
  if label == 0 || name.count > 253 { throw .length }
  // Other programs read 256.1, 1.2.3 or 010.0.0.1 as addresses, each in its own way.
  if isNumber { throw .notIPv4 }
  return name.map { $0.lowercasedASCII }
}

/// `host` and `:port` apart; brackets stay on the host. Nil port: there is none.
func splitPort(
  _ text: ArraySlice<UInt8>
) -> (host: ArraySlice<UInt8>, port: ArraySlice<UInt8>?) {
  let colon = UInt8(ascii: ":")
  let isBracketed = text.first == UInt8(ascii: "[")
  guard let last = text.lastIndex(of: colon),
    isBracketed
      ? text[..<last].last == UInt8(ascii: "]") : text.firstIndex(of: colon) == last
  else { return (text, nil) }
  return (text[..<last], text[(last + 1)...])
}

/// The host, and perhaps the port, that `text` probably means: out of a URL, or without its port.
func hostMeant(
  by text: ArraySlice<UInt8>, isForListening: Bool = false
) -> (host: ArraySlice<UInt8>, port: UInt64?)? {
  var rest = text
  if let start = index(after: "://", in: text) { rest = text[start...] }
  if let at = rest.lastIndex(of: UInt8(ascii: "@")) {
    guard !rest[..<at].contains(where: { $0.endsHost }) else { return nil }
    rest = rest[(at + 1)...]
  }
  let authority = rest.prefix { !$0.endsHost }
  // What goes on after a URL's host is left out; after anything else, nobody knows what was meant.
  if let end = rest[authority.endIndex...].first, !end.startsPath { return nil }
  let (host, port) = splitPort(authority)
  guard isForListening ? parseAddress(host) != nil : (try? parseHost(host)) != nil
  else { return nil }
  return (withoutBrackets(host), port.flatMap { numberMeant(by: $0, in: portRange) })
}

/// Where the text after the first `part` begins.
func index(after part: StaticString, in text: ArraySlice<UInt8>) -> Int? {
  let length = part.utf8CodeUnitCount
  var rest = text
  while rest.count >= length {
    if rest.prefix(length).equals(part) { return rest.startIndex + length }
    rest = rest.dropFirst()
  }
  return nil
}

extension UInt8 {
  /// What comes after the host in URLs and connection strings: parameters, and secrets among them.
  var endsHost: Bool { startsPath || isASCIISpace || self == UInt8(ascii: "=") || startsParameters }

  var startsParameters: Bool {
    self == UInt8(ascii: "?") || self == UInt8(ascii: ";") || self == UInt8(ascii: "&")
  }

  fileprivate var startsPath: Bool {
    self == UInt8(ascii: "/") || self == UInt8(ascii: "?") || self == UInt8(ascii: "#")
  }
}
