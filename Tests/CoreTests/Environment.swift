// The settings parser with the environment of a test.
import Core

typealias Environment = [String: String]

func parse(_ environment: Environment) throws(SettingsFaults) -> Settings {
  try Settings.parse { name in environment["\(name)"].map { [UInt8]($0.utf8) } }
}

/// The environment of the smallest proxy, changed by `changes`.
func proxy(_ changes: Environment = [:]) -> Environment {
  ["TARGET_HOST": "db", "TARGET_PORT": "5432"].merging(changes) { _, new in new }
}

/// What is said to the person who wrote `environment`; empty when nothing is wrong with it.
func complaints(about environment: Environment) -> [String] {
  do {
    _ = try parse(environment)
    return []
  } catch {
    return error.faults.map { text($0.line) }
  }
}

func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

func ipv4(_ bits: UInt32) -> IPAddress { IPAddress(ipv4: bits) }

func forward(_ listenPort: UInt16, _ host: String, _ kind: Target.Kind, _ port: UInt16) -> Forward {
  Forward(
    listenPort: listenPort, target: Target(host: [UInt8](host.utf8), kind: kind, port: port))
}
