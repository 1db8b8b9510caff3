// What is wrong with the configuration, in words for the person who wrote it. Nothing here may show
// a secret: a URL with a password is the likeliest mistake of all.

/// Everything that is wrong, in the order of the variables in SettingsParser.swift.
public struct SettingsFaults: Error, Sendable {
  public var faults: [SettingsFault]
}

public struct SettingsFault: Error, Equatable, Sendable {
  public var variable: StaticString
  /// Nil when the fault is that the variable is missing.
  public var value: [UInt8]?
  /// What should be there instead, beginning with "expected".
  public var expected: [UInt8]

  /// For people: `TARGET_PORT="08080": expected …`, without a line break.
  public var line: [UInt8] {
    []
  }

  public static func == (left: SettingsFault, right: SettingsFault) -> Bool {
    [UInt8](left.variable) == [UInt8](right.variable) && left.value == right.value
      && left.expected == right.expected
  }
}
