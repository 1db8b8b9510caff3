import Core
import Testing

@Test func aTargetIsAllThatAProxyNeeds() throws {
  let settings = try parse(["TARGET_HOST": "Db.Example", "TARGET_PORT": "5432"])
  var expected = Settings()
  expected.forwards = [forward(8080, "Db.Example", .name([UInt8]("db.example")), 5432)]
  #expect(settings == expected)
  #expect(settings.mode == .proxy)
  #expect(settings.listenAddress == nil)
  #expect(settings.logLevel == .info)
  #expect(settings.logFormat == .text)
  #expect(settings.connectTimeout == .seconds(5))
  #expect(settings.idleTimeout == nil)
  #expect(settings.drainDelay == .zero)
  #expect(settings.drainTimeout == .seconds(25))
  #expect(settings.peerTimeout == .seconds(30))
  #expect(settings.maxConnections == nil)
  #expect(settings.workers == nil)
  #expect(settings.probes == .absorb)
  #expect(settings.transfer == .automatic)
}

@Test func everyVariableIsRead() throws {
  let settings = try parse([
    "MODE": "proxy", "TARGET_HOST": "10.0.0.1", "TARGET_PORT": "3306", "LISTEN_PORT": "1",
    "LISTEN_HOST": "[::1]", "LOG_LEVEL": "debug", "LOG_FORMAT": "json", "CONNECT_TIMEOUT": "500ms",
    "IDLE_TIMEOUT": "1h", "DRAIN_DELAY": "2m", "DRAIN_TIMEOUT": "7", "PEER_TIMEOUT": "1s",
    "MAX_CONNECTIONS": "1000000", "WORKERS": "64", "PROBES": "forward",
    "SIDECAR_TRANSFER": "splice", "METRICS_PORT": "9100", "METRICS_HOST": "::",
  ])
  var expected = Settings()
  expected.forwards = [forward(1, "10.0.0.1", .address(ipv4(0x0a00_0001)), 3306)]
  expected.listenAddress = IPAddress(high: 0, low: 1)
  expected.logLevel = .debug
  expected.logFormat = .json
  expected.connectTimeout = .milliseconds(500)
  expected.idleTimeout = .seconds(3600)
  expected.drainDelay = .seconds(120)
  expected.drainTimeout = .seconds(7)
  expected.peerTimeout = .seconds(1)
  expected.maxConnections = 1_000_000
  expected.workers = 64
  expected.probes = .forward
  expected.transfer = .splice
  expected.metricsPort = 9_100
  expected.metricsAddress = IPAddress(high: 0, low: 0)
  expected.controlPort = 1
  #expect(settings == expected)
}

@Test func everyNameOfALevelAFormatAndAPolicyIsUnderstood() throws {
  for level in LogLevel.allCases {
    #expect(try parse(proxy(["LOG_LEVEL": "\(level.name)"])).logLevel == level)
  }
  for format in LogFormat.allCases {
    #expect(try parse(proxy(["LOG_FORMAT": "\(format.name)"])).logFormat == format)
  }
  #expect(try parse(proxy(["PROBES": "absorb"])).probes == .absorb)
  #expect(try parse(proxy(["SIDECAR_TRANSFER": "auto"])).transfer == .automatic)
  #expect(try parse(proxy(["SIDECAR_TRANSFER": "copy"])).transfer == .copy)
  #expect(LogLevel.error < .warn && .warn < .info && .info < .debug)
}

@Test func emptyMeansUnset() throws {
  let empty = [
    "MODE", "LISTEN_PORT", "LISTEN_HOST", "LOG_LEVEL", "LOG_FORMAT", "CONNECT_TIMEOUT",
    "IDLE_TIMEOUT", "DRAIN_DELAY", "DRAIN_TIMEOUT", "PEER_TIMEOUT", "MAX_CONNECTIONS", "WORKERS",
    "PROBES", "FORWARDS", "SIDECAR_TRANSFER",
  ].map { ($0, "") }
  #expect(
    try parse(proxy(Environment(uniqueKeysWithValues: empty))) == (try parse(proxy())))
}

@Test func aProxyWithoutATargetIsToldWhatIsMissing() {
  #expect(
    complaints(about: [:]) == [
      "TARGET_HOST: expected the host to forward to, such as db.example; it is not set",
      "TARGET_PORT: expected the port to forward to, such as 5432; it is not set",
    ])
}

@Test func everyFaultIsReportedAtOnceAndInOneOrder() {
  let environment = [
    "SIDECAR_TRANSFER": "x", "PROBES": "x", "WORKERS": "x", "MAX_CONNECTIONS": "x",
    "DRAIN_TIMEOUT": "x", "DRAIN_DELAY": "x", "PEER_TIMEOUT": "x", "IDLE_TIMEOUT": "x",
    "CONNECT_TIMEOUT": "x", "LOG_FORMAT": "x", "LOG_LEVEL": "x", "FORWARDS": "x",
    "TARGET_PORT": "x", "TARGET_HOST": "-?", "LISTEN_PORT": "x", "LISTEN_HOST": "x", "MODE": "x",
  ]
  let lines = complaints(about: environment)
  let variables = lines.map { $0.prefix { $0.isLetter || $0 == "_" } }
  #expect(
    variables == [
      "MODE", "LISTEN_HOST", "LISTEN_PORT", "TARGET_HOST", "TARGET_PORT", "FORWARDS", "FORWARDS",
      "LOG_LEVEL", "LOG_FORMAT", "CONNECT_TIMEOUT", "IDLE_TIMEOUT", "PEER_TIMEOUT", "DRAIN_DELAY",
      "DRAIN_TIMEOUT", "MAX_CONNECTIONS", "WORKERS", "PROBES", "SIDECAR_TRANSFER",
    ])
}

@Test(arguments: [
  ("08080", ": write 8080"), ("+1", ": write 1"), ("+08", ": write 8"), ("0x50", ""), ("0", ""),
  ("65536", ""), ("-1", ""), ("80.0", ""), ("8 0", ""), ("port", ""), ("1e3", ""),
  ("18446744073709551616", ""), ("18446744073709551617", ""), ("99999999999999999999999", ""),
])
func aPortIsAPlainNumber(value: String, advice: String) {
  let shown = value == "8 0" ? "8..." : value
  for variable in ["TARGET_PORT", "LISTEN_PORT"] {
    #expect(
      complaints(about: proxy([variable: value])) == [
        "\(variable)=\"\(shown)\": expected a port from 1 to 65535, "
          + "in digits, without sign or leading zeros\(advice)"
      ])
  }
}

@Test(arguments: [("1", 1), ("65535", 65535)]) func aPortMayBe(value: String, port: UInt16) throws {
  #expect(try parse(proxy(["TARGET_PORT": value])).forwards[0].target.port == port)
  #expect(try parse(proxy(["LISTEN_PORT": value])).forwards[0].listenPort == port)
}

@Test(arguments: [
  ("WORKERS", "65", "64"), ("WORKERS", "0", "64"), ("MAX_CONNECTIONS", "1000001", "1000000"),
  ("MAX_CONNECTIONS", "0", "1000000"),
])
func aNumberHasItsRange(variable: String, value: String, most: String) {
  #expect(
    complaints(about: proxy([variable: value])) == [
      "\(variable)=\"\(value)\": expected a number from 1 to \(most), "
        + "in digits, without sign or leading zeros"
    ])
}

@Test(arguments: [" 5432", "5432 ", "\t5432", "5432\n", "5432\r\n", " ", "\n"])
func spacesAroundAValueAreAFault(value: String) {
  let lines = complaints(about: proxy(["TARGET_PORT": value]))
  #expect(lines.count == 1)
  #expect(
    lines.first?.hasSuffix(": expected no space or line break before or after the value") == true)
  for variable in ["MODE", "TARGET_HOST", "LISTEN_HOST", "IDLE_TIMEOUT", "LOG_LEVEL"] {
    #expect(complaints(about: proxy([variable: value])).count == 1)
  }
  #expect(complaints(about: ["FORWARDS": value]).count == 1)
}

@Test(arguments: [
  ("MODE", "Proxy", "proxy or sleep: write proxy"),
  ("MODE", "SLEEP", "proxy or sleep: write sleep"), ("MODE", "run", "proxy or sleep"),
  ("LOG_LEVEL", "INFO", "error, warn, info or debug: write info"),
  ("LOG_LEVEL", "warning", "error, warn, info or debug"), ("LOG_FORMAT", "xml", "text or json"),
  ("PROBES", "Forward", "absorb or forward: write forward"),
])
func aChoiceIsOneOfItsWords(variable: String, value: String, expected: String) {
  #expect(
    complaints(about: proxy([variable: value])) == [
      "\(variable)=\"\(value)\": expected \(expected)"
    ])
}

@Test func anUnknownModeDoesNotMakeATargetNecessary() {
  #expect(complaints(about: ["MODE": "slep"]).count == 1)
  #expect(complaints(about: ["MODE": "SLEEP"]).count == 1)
  #expect(complaints(about: ["MODE": "PROXY"]).count == 3)
}

@Test func asleepATargetMayBeMissingButNotWrong() throws {
  #expect(try parse(["MODE": "sleep"]).mode == .sleep)
  #expect(try parse(["MODE": "sleep"]).forwards == [])
  #expect(try parse(["MODE": "sleep", "TARGET_HOST": "db"]).forwards == [])
  #expect(try parse(["MODE": "sleep", "TARGET_PORT": "1"]).forwards == [])
  #expect(try parse(proxy(["MODE": "sleep"])).forwards.count == 1)
  let wrong = ["MODE": "sleep", "TARGET_HOST": "db:1", "TARGET_PORT": "0"]
  #expect(complaints(about: wrong).count == 2)
}

@Test(arguments: [
  ("0.0.0.0", ipv4(0)), ("127.0.0.1", ipv4(0x7f00_0001)), ("::", IPAddress(high: 0, low: 0)),
  ("[::]", IPAddress(high: 0, low: 0)), ("[::1]", IPAddress(high: 0, low: 1)),
])
func anAddressToListenOn(value: String, address: IPAddress) throws {
  #expect(try parse(proxy(["LISTEN_HOST": value])).listenAddress == address)
}

@Test(arguments: [
  ("localhost", "; leave it out to listen on all addresses"),
  ("*", "; leave it out to listen on all addresses"),
  ("[127.0.0.1]", "; leave it out to listen on all addresses"),
  (
    "0.0.0.0:8080",
    "; leave it out to listen on all addresses, or write LISTEN_HOST=0.0.0.0 and LISTEN_PORT=8080"
  ),
  (
    "[::1]:80",
    "; leave it out to listen on all addresses, or write LISTEN_HOST=::1 and LISTEN_PORT=80"
  ),
  ("224.0.0.1", ", not a multicast or broadcast address"),
  ("fe80::1", ", not a link-local one (fe80::/10): it needs a zone, which is not supported"),
])
func aNameIsNothingToListenOn(value: String, expected: String) {
  #expect(
    complaints(about: proxy(["LISTEN_HOST": value])) == [
      "LISTEN_HOST=\"\(value)\": expected an IP address\(expected)"
    ])
}
