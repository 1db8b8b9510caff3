// Reads the variables, and finds every fault of a configuration in one go: no variable's fault
// hides another's. Hosts: HostText.swift. The list of forwards: ForwardsParser.swift.

/// In the order in which faults are reported.
enum Variable: Int, CaseIterable {
  case mode, listenHost, listenPort, targetHost, targetPort, forwards, logLevel, logFormat
  case connectTimeout, idleTimeout, peerTimeout, drainDelay, drainTimeout, maxConnections, workers
  case staleLimit, onTargetChange, probes, metricsPort, metricsHost, sandbox
  case transfer, resolvConf, dnsPort

  var name: StaticString {
    switch self {
    case .mode: "MODE"
    case .listenHost: "LISTEN_HOST"
    case .listenPort: "LISTEN_PORT"
    case .targetHost: "TARGET_HOST"
    case .targetPort: "TARGET_PORT"
    case .forwards: "FORWARDS"
    case .logLevel: "LOG_LEVEL"
    case .logFormat: "LOG_FORMAT"
    case .connectTimeout: "CONNECT_TIMEOUT"
    case .idleTimeout: "IDLE_TIMEOUT"
    case .peerTimeout: "PEER_TIMEOUT"
    case .drainDelay: "DRAIN_DELAY"
    case .drainTimeout: "DRAIN_TIMEOUT"
    case .maxConnections: "MAX_CONNECTIONS"
    case .workers: "WORKERS"
    case .staleLimit: "STALE_LIMIT"
    case .onTargetChange: "ON_TARGET_CHANGE"
    case .probes: "PROBES"
    case .metricsPort: "METRICS_PORT"
    case .metricsHost: "METRICS_HOST"
    case .sandbox: "SANDBOX"
    case .transfer: "SIDECAR_TRANSFER"
    case .resolvConf: "SIDECAR_RESOLV_CONF"
    case .dnsPort: "SIDECAR_DNS_PORT"
    }
  }
}

let portRange: ClosedRange<UInt64> = 1...65535

extension Settings {
  /// Asks `lookUp` once for each variable by name; nil and empty both mean that it is not set.
  @inline(never) public static func parse(
    _ lookUp: (StaticString) -> [UInt8]?
  ) throws(SettingsFaults) -> Settings {
    var values: [[UInt8]] = []
    for variable in Variable.allCases { values.append(lookUp(variable.name) ?? []) }
    var parser = SettingsParser(values: values)
    let settings = parser.settings()
    guard parser.faults.isEmpty else { throw SettingsFaults(faults: parser.faults) }
    return settings
  }
}

struct SettingsParser {
  /// By `Variable.rawValue`; empty where a variable is not set.
  let values: [[UInt8]]
  var faults: [SettingsFault] = []

  init(values: [[UInt8]]) { self.values = values }

  mutating func settings() -> Settings {
    var settings = Settings()
    let mode = choice(.mode, "proxy or sleep")
    settings.mode = mode == 1 ? .sleep : .proxy
    settings.listenAddress = listenAddress(.listenHost, .listenPort, "all addresses")
    // With an unknown mode, nobody can say whether a target is missing.
    let needsTarget = settings.mode == .proxy && (mode != nil || !isSet(.mode))
    settings.forwards = forwards(needsTarget: needsTarget, listenAddress: settings.listenAddress)
    settings.controlPort =
      settings.forwards.first?.listenPort
      ?? parseDecimal(values[Variable.listenPort.rawValue][...]).flatMap { UInt16(exactly: $0) }
      ?? settings.controlPort
    readMetrics(into: &settings)
    if let level = choice(.logLevel, "error, warn, info or debug") {
      settings.logLevel = LogLevel(rawValue: UInt8(level))!
    }
    if choice(.logFormat, "text or json") == 1 { settings.logFormat = .json }
    readTimes(into: &settings)
    // Far above what one machine's ports and memory allow: a larger number is a mistyped one.
    settings.maxConnections = number(.maxConnections, 1...1_000_000).map { Int($0) }
    // A forwarder never needs more, whatever the machine has.
    settings.workers = number(.workers, 1...64).map { Int($0) }
    if let policy = choice(.onTargetChange, "keep, drain or reset") {
      settings.onTargetChange = Settings.ChangePolicy(rawValue: policy)!
    }
    if choice(.probes, "absorb or forward") == 1 { settings.probes = .forward }
    if choice(.sandbox, "on or off") == 1 { settings.sandbox = false }
    if let transfer = choice(.transfer, "auto, copy or splice") {
      settings.transfer = Settings.TransferPolicy(rawValue: transfer)!
    }
    if let path = text(.resolvConf) { settings.resolvConf = [UInt8](path) }
    if let port = number(.dnsPort, portRange) { settings.dnsPort = UInt16(port) }
    return settings
  }

  private mutating func readMetrics(into settings: inout Settings) {
    if let address = listenAddress(.metricsHost, .metricsPort, "127.0.0.1 alone") {
      settings.metricsAddress = address
    }
    guard let port = number(.metricsPort, portRange, "a port") else { return }
    settings.metricsPort = UInt16(port)
    if settings.forwards.contains(where: { UInt64($0.listenPort) == port }) {
      fault(.metricsPort, [UInt8]("expected a port that is not forwarded"))
    }
  }

  private mutating func readTimes(into settings: inout Settings) {
    let range: StaticString = "from 1ms to 24h"
    let second = Nanoseconds.seconds(1).count
    let millisecond = second / 1000
    let day = 24 * 3600 * second
    if let time = time(.connectTimeout, millisecond...day, range) {
      settings.connectTimeout = time
    }
    if !text(.idleTimeout, equals: "off"),
      let time = time(.idleTimeout, 0...day, "from 1ms to 24h, off or 0"), time > .zero
    {
      settings.idleTimeout = time
    }
    // Keepalive counts in whole seconds, and tcp(7) takes no more than 32767 of them.
    if let time = time(.peerTimeout, second...3600 * second, "from 1s to 1h") {
      settings.peerTimeout = time
    }
    if let time = time(.staleLimit, 0...day, "from 0 to 24h") { settings.staleLimit = time }
    if let time = time(.drainDelay, 0...day, "from 0 to 24h") { settings.drainDelay = time }
    if let time = time(.drainTimeout, 0...day, "from 0 to 24h") { settings.drainTimeout = time }
  }

  func isSet(_ variable: Variable) -> Bool { !values[variable.rawValue].isEmpty }

  private func text(_ variable: Variable, equals text: StaticString) -> Bool {
    values[variable.rawValue].equals(text)
  }
}

// MARK: One variable

extension SettingsParser {
  mutating func fault(_ variable: Variable, _ expected: [UInt8]) {
    let value = isSet(variable) ? values[variable.rawValue] : nil
    faults.append(SettingsFault(variable.name, value: value, expected: expected))
  }

  /// The value, or nil if the variable is not set or has spaces around it, which is a fault: an
  /// accident of copying, that may as well have cut something off.
  mutating func text(_ variable: Variable) -> ArraySlice<UInt8>? {
    let value = values[variable.rawValue][...]
    guard trimSpaces(value).count == value.count else {
      fault(variable, [UInt8]("expected no space or line break before or after the value"))
      return nil
    }
    return value.isEmpty ? nil : value
  }

  mutating func number(
    _ variable: Variable, _ range: ClosedRange<UInt64>, _ noun: StaticString = "a number"
  ) -> UInt64? {
    guard let text = text(variable) else { return nil }
    if let number = parseDecimal(text), range ~= number { return number }
    var expected = [UInt8]("expected ")
    expected.append(noun)
    expected.append(" from ")
    expected.append(decimal: range.lowerBound)
    expected.append(" to ")
    expected.append(decimal: range.upperBound)
    expected.append(", in digits, without sign or leading zeros")
    if let number = numberMeant(by: text, in: range) {
      expected.append(": write ")
      expected.append(decimal: number)
    }
    fault(variable, expected)
    return nil
  }

  private mutating func time(
    _ variable: Variable, _ range: ClosedRange<Int64>, _ rangeText: StaticString
  ) -> Nanoseconds? {
    guard let text = text(variable) else { return nil }
    if let time = parseDuration(text), range ~= time.count { return time }
    var expected = [UInt8]("expected a time ")
    expected.append(rangeText)
    expected.append(", written as 500ms, 5s, 2m, 1h or plain seconds")
    fault(variable, expected)
    return nil
  }

  /// The place of the value in `names`, such as "keep, drain or reset"; also when only its case is
  /// wrong, which is a fault.
  private mutating func choice(_ variable: Variable, _ names: StaticString) -> Int? {
    guard let text = text(variable) else { return nil }
    var expected = [UInt8]("expected ")
    expected.append(names)
    var meant: Int?
    var place = 0
    let words = [UInt8](names)
    var rest = words[...]
    while let word = nextField(&rest) {
      if word.equals("or") { continue }
      let name = word.last == UInt8(ascii: ",") ? word.dropLast() : word
      if text.elementsEqual(name) { return place }
      if text.equalsIgnoringCase(name) {
        meant = place
        expected.append(": write ")
        expected += name
      }
      place += 1
    }
    fault(variable, expected)
    return meant
  }
}

/// The number in `range` that a sign or leading zeros hide.
func numberMeant(
  by text: ArraySlice<UInt8>, in range: ClosedRange<UInt64>
) -> UInt64? {
  let unsigned = text.first == UInt8(ascii: "+") ? text.dropFirst() : text
  let number = parseDecimal(unsigned.drop { $0 == UInt8(ascii: "0") })
  return number.flatMap { range ~= $0 ? $0 : nil }
}
