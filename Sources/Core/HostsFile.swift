// Names that need no DNS: what hosts(5) lists, and localhost. The file is read elsewhere, and may
// hold anything.

/// The bytes of /etc/hosts.
public struct HostsFile: Sendable {
  /// What `localhost` is, whatever the file and the DNS say (RFC 6761, section 6.3). IPv4 first:
  /// databases on a laptop or in a task listen on 127.0.0.1, and many of them on that alone.
  public static let localhost = [IPAddress(ipv4: 0x7f00_0001), IPAddress(high: 0, low: 1)]

  /// Above what anybody lists for a name, and a bound on what is tried.
  public static let maxAddresses = 32

  private let bytes: [UInt8]

  public init(_ bytes: [UInt8]) { self.bytes = bytes }

  /// The addresses of `name`, in any case and without a trailing dot, in the order of the file and
  /// each once. Empty when the file does not list it.
  public func addresses(of name: [UInt8]) -> [IPAddress] {
    guard !isLocalhost(name) else { return Self.localhost }
    var addresses: [IPAddress] = []
    var rest = bytes[...]
    while addresses.count < Self.maxAddresses,
      let line = nextPart(&rest, before: UInt8(ascii: "\n"))
    {
      var fields = line.prefix { $0 != UInt8(ascii: "#") }
      guard let address = nextField(&fields).flatMap(IPAddress.init) else { continue }
      while let field = nextField(&fields) {
        let listed = field.last == UInt8(ascii: ".") ? field.dropLast() : field
        guard listed.equalsIgnoringCase(name) else { continue }
        if !addresses.contains(address) { addresses.append(address) }
        break
      }
    }
    return addresses
  }
}

/// True for `localhost` and all names below it, in any case and without a trailing dot.
public func isLocalhost(_ name: [UInt8]) -> Bool {
  let localhost = [UInt8]("localhost")
  let start = name.count - localhost.count
  guard start >= 0, name[start...].equalsIgnoringCase(localhost) else { return false }
  return start == 0 || name[start - 1] == UInt8(ascii: ".")
}
