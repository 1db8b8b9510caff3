// Whether it starts at all: arguments, configuration, ports; and what it says when it does not.
import Foundation
import Testing

/// Starts the daemon with what must not work, and returns all it said.
private func expectFailure(
  _ environment: [String: String], arguments: [String] = [], wrapper: [String] = [], code: Int32
) throws -> String {
  let sidecar = try Sidecar(environment, arguments: arguments, wrapper: wrapper)
  defer { sidecar.process.kill() }
  try sidecar.expectExit(code)
  if code != 69 { #expect(sidecar.process.output.text.isEmpty) }
  return sidecar.process.errors.text + sidecar.process.output.text
}

@Suite(.serialized)
struct ArgumentTests {
  @Test(arguments: ["--help", "--version"])
  func questionsAreAnsweredOnStandardOutput(argument: String) throws {
    let sidecar = try Sidecar(["MODE": "nonsense"], arguments: [argument])
    defer { sidecar.process.kill() }
    try sidecar.expectExit(0)
    #expect(sidecar.process.output.text.contains("sidecar"))
    #expect(sidecar.process.errors.text.isEmpty)
  }

  @Test func theHelpNamesEveryVariable() throws {
    let sidecar = try Sidecar([:], arguments: ["--help"])
    defer { sidecar.process.kill() }
    try sidecar.expectExit(0)
    let help = sidecar.process.output.text
    let names = [
      "MODE", "TARGET_HOST", "TARGET_PORT", "LISTEN_PORT", "LOG_LEVEL", "LISTEN_HOST",
      "CONNECT_TIMEOUT", "IDLE_TIMEOUT", "DRAIN_DELAY", "DRAIN_TIMEOUT", "MAX_CONNECTIONS",
      "PEER_TIMEOUT", "WORKERS", "LOG_FORMAT", "FORWARDS", "PROBES",
    ]
    #expect(names.filter { !help.contains($0) }.isEmpty)
    #expect(!help.contains("SIDECAR_TRANSFER"))
  }

  @Test(arguments: [["--hlep"], ["start"], ["--help", "me"], ["--version", "--help"], [""]])
  func wrongArgumentsAreAnUsageError(arguments: [String]) throws {
    let settings = ["TARGET_HOST": "127.0.0.1", "TARGET_PORT": "5432"]
    let said = try expectFailure(settings, arguments: arguments, code: 64)
    #expect(said.contains("--help"))
  }
}

@Suite(.serialized)
struct ConfigurationTests {
  @Test func everyFaultIsReportedInOneGo() throws {
    let faults = [
      "MODE": "forward", "TARGET_HOST": "https://db.example", "TARGET_PORT": "65536",
      "LISTEN_PORT": "0x50", "LOG_LEVEL": "verbose", "LISTEN_HOST": "localhost",
      "CONNECT_TIMEOUT": "5x", "IDLE_TIMEOUT": "-1s", "DRAIN_DELAY": "soon",
      "DRAIN_TIMEOUT": "99999999999999999999s", "MAX_CONNECTIONS": "many", "PEER_TIMEOUT": "10ms",
      "WORKERS": "none", "LOG_FORMAT": "xml", "PROBES": "maybe",
    ]
    let said = try expectFailure(faults, code: 78)
    for (name, value) in faults {
      let lines = said.split(separator: "\n").filter { $0.contains(name) && $0.contains(value) }
      #expect(!lines.isEmpty, "\(name)=\(value) is not reported")
    }
  }

  @Test func nothingAtAllIsAFaultToo() throws {
    let said = try expectFailure([:], code: 78)
    #expect(said.contains("TARGET_HOST"))
    #expect(said.contains("TARGET_PORT"))
  }

  @Test(arguments: [
    ["TARGET_PORT": ""], ["TARGET_PORT": "0"], ["TARGET_PORT": "+1"], ["TARGET_PORT": "12 "],
    ["LISTEN_PORT": "99999"], ["TARGET_HOST": "db.example:5432"], ["TARGET_HOST": "[::1"],
    ["FORWARDS": "5432=db.example:5432"], ["SIDECAR_TRANSFER": "teleport"],
  ])
  func oneFaultIsEnough(fault: [String: String]) throws {
    var settings = ["TARGET_HOST": "127.0.0.1", "TARGET_PORT": "5432"]
    settings.merge(fault) { _, new in new }
    let said = try expectFailure(settings, code: 78)
    #expect(fault.keys.allSatisfy { said.contains($0) })
  }

  @Test func emptyMeansUnset() throws {
    let target = try Target()
    let empty = [
      "MODE", "LOG_LEVEL", "LISTEN_HOST", "CONNECT_TIMEOUT", "IDLE_TIMEOUT", "DRAIN_DELAY",
      "DRAIN_TIMEOUT", "MAX_CONNECTIONS", "PEER_TIMEOUT", "WORKERS", "LOG_FORMAT", "FORWARDS",
      "PROBES",
    ]
    let settings = Dictionary(uniqueKeysWithValues: empty.map { ($0, "") })
    try withSidecar(to: target, settings) { sidecar in
      let (client, upstream) = try sidecar.connect(to: target)
      try pingPong(client, upstream)
    }
  }
}

@Suite(.serialized)
struct PortTests {
  @Test func aPortInUseIsSaidClearly() throws {
    let occupant = try Target(on: .everywhere)
    let settings = [
      "TARGET_HOST": "127.0.0.1", "TARGET_PORT": "5432", "LISTEN_PORT": String(occupant.port),
    ]
    let said = try expectFailure(settings, code: 69)
    #expect(said.contains(String(occupant.port)))
    #expect(said.contains("in use"))
  }

  @Test(.enabled(if: portEightyIsPrivileged))
  func aPrivilegedPortIsSaidClearly() throws {
    let settings = ["TARGET_HOST": "127.0.0.1", "TARGET_PORT": "5432", "LISTEN_PORT": "80"]
    let said = try expectFailure(settings, wrapper: unprivileged, code: 69)
    #expect(said.contains("80"))
    #expect(said.contains("privileged"))
  }

  @Test func anAddressThatIsNotHereIsSaidClearly() throws {
    let settings = [
      "TARGET_HOST": "127.0.0.1", "TARGET_PORT": "5432", "LISTEN_HOST": "192.0.2.77",
    ]
    let said = try expectFailure(settings, code: 69)
    #expect(said.contains("192.0.2.77"))
  }
}

private let portEightyIsPrivileged: Bool = {
  let path = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
  let start = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
  return Int(start.trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0 > 80
}()
