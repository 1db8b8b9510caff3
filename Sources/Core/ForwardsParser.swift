// What is listened on and where it goes: LISTEN_HOST, and either LISTEN_PORT with TARGET_HOST and
// TARGET_PORT, or the list in FORWARDS.

extension SettingsParser {
  /// The address to listen on that `host` gives; `otherwise` says what holds without it.
  mutating func listenAddress(
    _ host: Variable, _ port: Variable, _ otherwise: StaticString
  ) -> IPAddress? {
    guard let text = text(host) else { return nil }
    var expected = [UInt8]("expected an IP address")
    if let address = parseAddress(text) {
      guard address.isMulticast || address.isIPv6LinkLocal else { return address }
      expected.append((address.isMulticast ? TextFault.multicast : .linkLocal).reason)
    } else {
      expected.append("; leave it out to listen on ")
      expected.append(otherwise)
      if let meant = hostMeant(by: text, isForListening: true) {
        expected.append(", or write ")
        appendVariables(host, port, meant, to: &expected)
      }
    }
    fault(host, expected)
    return nil
  }

  /// The forwards given in full. `needsTarget`: that there be none is a fault.
  mutating func forwards(needsTarget: Bool, listenAddress: IPAddress?) -> [Forward] {
    let listenPort = isSet(.listenPort) ? number(.listenPort, portRange, "a port") : 8080
    let kind = targetKind(isNeeded: needsTarget && !isSet(.forwards))
    let targetPort = number(.targetPort, portRange, "a port")
    if needsTarget && !isSet(.forwards) && !isSet(.targetPort) {
      fault(
        .targetPort,
        [UInt8]("expected the port to forward to, such as 5432; it is not set"))
    }
    var forwards: [Forward] = []
    // Which entries of FORWARDS they are from.
    var numbers: [Int] = []
    if isSet(.forwards) {
      readForwards(&forwards, &numbers)
    } else if let listenPort, let kind, let targetPort {
      let host = withoutBrackets(values[Variable.targetHost.rawValue][...])
      let target = Target(host: [UInt8](host), kind: kind, port: UInt16(targetPort))
      forwards = [Forward(listenPort: UInt16(listenPort), target: target)]
    }
    // Asleep, nothing listens; and without a valid LISTEN_HOST, nobody knows where it would.
    if needsTarget && (listenAddress != nil || !isSet(.listenHost)) {
      for (index, forward) in forwards.enumerated()
      where isLoop(forward.target, forwards, listenAddress) {
        loopFault(numbers.isEmpty ? nil : numbers[index], forward)
      }
    }
    return forwards
  }
}

// MARK: TARGET_HOST

extension SettingsParser {
  private mutating func targetKind(isNeeded: Bool) -> Target.Kind? {
    guard let text = text(.targetHost) else {
      if isNeeded && !isSet(.targetHost) {
        fault(
          .targetHost,
          [UInt8]("expected the host to forward to, such as db.example; it is not set"))
      }
      return nil
    }
    do throws(TextFault) {
      return try parseHost(text)
    } catch {
      var expected = [UInt8]("expected a host name or an IP address")
      expected.append(error.reason)
      if let meant = hostMeant(by: text) {
        expected.append(": write ")
        appendVariables(.targetHost, .targetPort, meant, to: &expected)
      }
      fault(.targetHost, expected)
      return nil
    }
  }

  /// Appends `TARGET_HOST=db and TARGET_PORT=5432`.
  private func appendVariables(
    _ hostVariable: Variable, _ portVariable: Variable,
    _ meant: (host: ArraySlice<UInt8>, port: UInt64?), to bytes: inout [UInt8]
  ) {
    bytes.append(hostVariable.name)
    bytes.append("=")
    bytes += meant.host
    guard let port = meant.port else { return }
    bytes.append(" and ")
    bytes.append(portVariable.name)
    bytes.append("=")
    bytes.append(decimal: port)
  }
}

// MARK: FORWARDS

extension SettingsParser {
  /// Each has a listening socket in every worker; nobody types a longer list.
  static let maxForwards = 64

  private mutating func readForwards(_ forwards: inout [Forward], _ numbers: inout [Int]) {
    checkThatForwardsStandAlone()
    guard let list = text(.forwards) else { return }
    // A password may have commas in it: cut there, parts of it would be shown as entries.
    guard !list.contains(where: { $0 == UInt8(ascii: "@") || $0.startsParameters }) else {
      listFault([UInt8]("expected LISTEN=HOST:PORT entries without passwords or parameters"))
      return
    }
    let comma = UInt8(ascii: ",")
    // With a comma at its end, nothing after the last one is an entry too.
    var rest = list + [comma]
    var number = 0
    while let text = nextPart(&rest, before: comma) {
      number += 1
      guard number <= Self.maxForwards else {
        var expected = [UInt8]("expected no more entries than ")
        expected.append(decimal: UInt64(Self.maxForwards))
        listFault(expected)
        break
      }
      do throws(TextFault) {
        let forward = try parseForward(text)
        if forwards.contains(where: { $0.listenPort == forward.listenPort }) { throw .samePort }
        forwards.append(forward)
        numbers.append(number)
      } catch {
        entryFault(number, [UInt8](text), expectedEntry(error, insteadOf: text))
      }
    }
  }

  private mutating func checkThatForwardsStandAlone() {
    var expected = [UInt8]("expected without the variables for a single forward: remove ")
    var count = 0
    for other in [Variable.listenPort, .targetHost, .targetPort] where isSet(other) {
      if count > 0 { expected.append(" and ") }
      expected.append(other.name)
      count += 1
    }
    guard count > 0 else { return }
    expected.append(", or FORWARDS")
    listFault(expected)
  }

  private mutating func listFault(_ expected: [UInt8]) {
    faults.append(SettingsFault(Variable.forwards.name, value: nil, expected: expected))
  }

  @inline(never) private mutating func entryFault(
    _ number: Int, _ text: [UInt8], _ expected: [UInt8]
  ) {
    faults.append(
      SettingsFault(Variable.forwards.name, entry: number, value: text, expected: expected))
  }

  private func expectedEntry(_ fault: TextFault, insteadOf text: ArraySlice<UInt8>) -> [UInt8] {
    var expected = [UInt8]("expected LISTEN=HOST:PORT")
    expected.append(fault.reason)
    if let split = text.firstIndex(of: UInt8(ascii: "=")),
      let listenPort = numberMeant(by: trimSpaces(text[..<split]), in: portRange),
      let meant = hostMeant(by: trimSpaces(text[(split + 1)...])), let port = meant.port
    {
      var entry: [UInt8] = []
      entry.append(decimal: listenPort)
      entry.append("=")
      entry.append(host: meant.host, port: port)
      guard !entry.elementsEqual(text) else { return expected }
      expected.append(": write ")
      expected += entry
    }
    return expected
  }
}

extension TextFault {
  fileprivate static let emptyEntry = TextFault(reason: ", not an empty entry: remove the comma")
  fileprivate static let noListenPort = TextFault(reason: ", such as 5432=db.example:5432")
  fileprivate static let noTargetPort = TextFault(reason: " with a port after HOST")
  fileprivate static let samePort = TextFault(
    reason: " with another LISTEN port: an earlier entry has this one")
  fileprivate static let noBrackets = TextFault(reason: " with an IPv6 address in brackets")
  fileprivate static let badPort = TextFault(
    reason: " with ports from 1 to 65535, in digits, without sign or leading zeros")
}

private func parseForward(_ text: ArraySlice<UInt8>) throws(TextFault) -> Forward {
  if text.isEmpty { throw .emptyEntry }
  if text.contains(where: { $0.isASCIISpace }) { throw .space }
  guard let split = text.firstIndex(of: UInt8(ascii: "=")) else { throw .noListenPort }
  let target = text[(split + 1)...]
  // Schemes have colons and paths have digits: a port is looked for when these are out of the way.
  if target.contains(UInt8(ascii: "/")) { _ = try parseHost(target) }
  let (host, port) = splitPort(target)
  guard let port else {
    let isBareIPv6 = IPAddress(host).map { !$0.isIPv4 } ?? false
    throw isBareIPv6 ? .noBrackets : .noTargetPort
  }
  let kind = try parseHost(host)
  guard let listenPort = parseDecimal(text[..<split]), portRange ~= listenPort,
    let targetPort = parseDecimal(port), portRange ~= targetPort
  else { throw .badPort }
  return Forward(
    listenPort: UInt16(listenPort),
    target: Target(
      host: [UInt8](withoutBrackets(host)), kind: kind, port: UInt16(targetPort)))
}

// MARK: Loops

extension SettingsParser {
  private mutating func loopFault(_ entry: Int?, _ forward: Forward) {
    var expected = [UInt8]("expected a target other than this program, which listens on port ")
    expected.append(decimal: UInt64(forward.target.port))
    guard let entry else { return fault(.targetHost, expected) }
    var text: [UInt8] = []
    text.append(decimal: UInt64(forward.listenPort))
    text.append("=")
    text.append(forward.target)
    entryFault(entry, text, expected)
  }
}

/// True if a connection to `target` would arrive at one of our own ports, and from there again.
private func isLoop(
  _ target: Target, _ forwards: [Forward], _ listenAddress: IPAddress?
) -> Bool {
  guard forwards.contains(where: { $0.listenPort == target.port }) else { return false }
  let addresses: [IPAddress]
  switch target.kind {
  case .address(let address): addresses = [address]
  case .name(let name): addresses = isLocalhost(name) ? HostsFile.localhost : []
  }
  return addresses.contains { address in
    guard let listenAddress, !listenAddress.isUnspecified else {
      let isHeard = listenAddress?.isIPv4 != true || address.isIPv4
      return address.isLoopback && isHeard
    }
    return address == listenAddress
  }
}
